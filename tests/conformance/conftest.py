"""Every registered family, small, with random weights that find something; exported once a session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from maskrt.export import to_onnx
from maskrt.models import FAMILIES, find_family
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Family
from maskrt.models.load import load_checkpoint
from maskrt.runtime.contract import Contract, Keypoints
from maskrt.runtime.files.atomic import write_png
from maskrt.training.data import load_dataset

TOY = {"toy": "tests.conformance.toy"}
#: All that are registered, and one that is registered here: the proof that this is all it takes.
NAMES = (*FAMILIES, *TOY)
SCENES = "synthetic:2:7"


@dataclass(frozen=True)
class Made:
    """A family's example: its checkpoint, the file that `maskrt export` makes of it, pictures, annotations."""

    name: str
    checkpoint: Path
    model: Path
    pictures: Path
    annotations: Path

    @property
    def family(self) -> Family[Any, Any]:
        return find_family(self.name)

    @property
    def contract(self) -> Contract:
        return self.loaded.contract()

    @property
    def loaded(self) -> Checkpoint:
        return load_checkpoint(self.checkpoint)

    @property
    def picture(self) -> Path:
        return next(iter(sorted(self.pictures.iterdir())))


def ended(main: Any, *arguments: object) -> int:
    """The exit status of a command."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


@pytest.fixture(scope="session")
def registered() -> Iterator[None]:
    """The toy among the families, as long as these tests run."""
    FAMILIES.update(TOY)
    yield
    for name in TOY:
        del FAMILIES[name]


@pytest.fixture(scope="session", params=NAMES)
def made(request: pytest.FixtureRequest, registered: None, tmp_path_factory: pytest.TempPathFactory) -> Made:
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    scenes = load_dataset(SCENES)
    checkpoint = example(name, scenes)
    checkpoint.save(folder / "best.pt")
    assert ended(to_onnx.main, folder / "best.pt", "-o", folder / "model.onnx") == 0
    annotations = write_scenes(folder, scenes, checkpoint.keypoints)
    return Made(name, folder / "best.pt", folder / "model.onnx", folder / "pictures", annotations)


def example(name: str, scenes: Any) -> Checkpoint:
    """A family's example for the scenes' classes, as its task has them: a class map has a background too."""
    family, picture = find_family(name), scenes[0].image()
    checkpoint = family.example(scenes.classes, picture)
    classes = scenes.for_task(checkpoint.config.finds).classes
    return checkpoint if classes == scenes.classes else family.example(classes, picture)


def write_scenes(folder: Path, scenes: Any, keypoints: Keypoints | None) -> Path:
    """The scenes as COCO has them, with made points on the diagonal of each object where there are to be any."""
    (folder / "pictures").mkdir()
    coco = scenes.to_coco()
    for image, sample in zip(coco["images"], scenes, strict=True):
        image["file_name"] = f"{sample.image_id}.png"
        write_png(folder / "pictures" / image["file_name"], sample.image())
    if keypoints:
        count = len(keypoints.names)
        for category in coco["categories"]:
            category |= {"keypoints": list(keypoints.names), "skeleton": []}
        for annotation in coco["annotations"]:
            x, y, width, height = annotation["bbox"]
            shares = [(place + 0.5) / count for place in range(count)]
            annotation["keypoints"] = [v for s in shares for v in (x + s * width, y + s * height, 2)]
            annotation["num_keypoints"] = count
    path = folder / "annotations.json"
    path.write_text(json.dumps(coco))
    return path
