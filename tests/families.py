"""A family's example in files: its checkpoint, what is exported of it, pictures and annotations. Made once a
session, by whichever process asks first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from maskrt.export import to_onnx
from maskrt.models import find_family
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Family
from maskrt.models.load import load_checkpoint
from maskrt.runtime.contract import Contract, Keypoints
from maskrt.runtime.files.atomic import write_png
from maskrt.training.data import load_dataset
from tests.exports import Exports

SCENES = "synthetic:2:7"


@dataclass(frozen=True)
class Made:
    """A family's example: its checkpoint, the files that `maskrt export` makes of it, pictures, annotations."""

    name: str
    checkpoint: Path
    model: Path
    pictures: Path
    annotations: Path
    exports: Exports

    @property
    def family(self) -> Family[Any, Any]:
        return find_family(self.name)

    @cached_property
    def contract(self) -> Contract:
        return self.loaded.contract()

    @cached_property
    def loaded(self) -> Checkpoint:
        return load_checkpoint(self.checkpoint)

    @property
    def picture(self) -> Path:
        return next(iter(sorted(self.pictures.iterdir())))

    @property
    def half(self) -> Path:
        """The file in half precision."""
        return exported(self.exports, self.checkpoint, "half.onnx", "--precision", "fp16")


def make(exports: Exports, name: str) -> Made:
    """The example of the family of that name, in random weights that find something."""
    folder = exports.folder / "families" / name
    scenes = load_dataset(SCENES)
    checkpoint = exports.once(folder / "best.pt", lambda path: example(name, scenes).save(path))
    model = exported(exports, checkpoint, "model.onnx")
    keypoints = load_checkpoint(checkpoint).keypoints
    written = exports.once(folder / "scenes", lambda path: write_scenes(path, scenes, keypoints))
    return Made(name, checkpoint, model, written / "pictures", written / "annotations.json", exports)


def exported(exports: Exports, checkpoint: Path, name: str, *options: object) -> Path:
    """What the command makes of a checkpoint, beside it."""

    def export(path: Path) -> None:
        assert ended(to_onnx.main, checkpoint, "-o", path, *options) == 0

    return exports.once(checkpoint.with_name(name), export)


def ended(main: Any, *arguments: object) -> int:
    """The exit status of a command."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def example(name: str, scenes: Any) -> Checkpoint:
    """A family's example for the scenes' classes, as its task has them: a class map has a background too."""
    family, picture = find_family(name), scenes[0].image()
    checkpoint = family.example(scenes.classes, picture)
    classes = scenes.for_task(checkpoint.config.finds).classes
    return checkpoint if classes == scenes.classes else family.example(classes, picture)


def write_scenes(folder: Path, scenes: Any, keypoints: Keypoints | None) -> None:
    """The scenes as COCO has them, with made points on the diagonal of each object where there are to be any."""
    (folder / "pictures").mkdir(parents=True)
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
    (folder / "annotations.json").write_text(json.dumps(coco))
