"""Keypoint R-CNN learns twenty people of COCO-mini by heart, and keeps them through export and INT8."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.full.conftest import CACHE, training_key

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]

PEOPLE, LEAST_POINTS, LEAST_HEIGHT_PX = 20, 8, 100
SETTINGS = {
    "task": "keypoint",
    "augment": "none",  # by heart
    "min_size_px": "256",
    "max_size_px": "448",
    "keypoint_convs": "128,128,128,128",
}
ARGUMENTS = ["--epochs", "45", *(part for item in SETTINGS.items() for part in ("--set", "=".join(item)))]
OKS_AP50 = 0.8  # asked for by the issue
DROP = 0.01  # of AP, allowed by it


def ended(main: Any, *arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


@pytest.fixture(scope="module")
def people(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO file beside its images: whole people, without crowds, the first twenty of both halves."""
    folder = tmp_path_factory.mktemp("people")
    found: dict[int, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {}
    for split in ("train2017", "val2017"):
        text = (data_dir / "coco-mini" / "annotations" / f"person_keypoints_{split}.json").read_text()
        document = json.loads(text)
        by_image = defaultdict(list)
        for annotation in document["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
        found |= {image["id"]: (split, image, by_image[image["id"]]) for image in document["images"]}
    chosen: dict[str, Any] = {"categories": document["categories"], "images": [], "annotations": []}
    for _, (split, image, people) in sorted(found.items()):
        whole = all(
            not a["iscrowd"] and a["num_keypoints"] >= LEAST_POINTS and a["bbox"][3] >= LEAST_HEIGHT_PX
            for a in people
        )
        if people and whole and len(chosen["annotations"]) + len(people) <= PEOPLE:
            shutil.copy(data_dir / "coco-mini" / split / image["file_name"], folder)
            chosen["images"].append(image)
            chosen["annotations"] += people
    assert len(chosen["annotations"]) == PEOPLE
    (folder / "people.json").write_text(json.dumps(chosen))
    return folder / "people.json"


@pytest.fixture(scope="module")
def checkpoint(people: Path) -> Path:
    """Trained on them, from the cache or into it."""
    from maskrt.training import train

    folder = CACHE / f"people-{training_key(*ARGUMENTS)}"
    if not (folder / "metrics.json").exists():  # written last
        shutil.rmtree(folder, ignore_errors=True)
        assert ended(train.main, "--data", people, "-o", folder, *ARGUMENTS) == 0
    return folder / "last.pt"


def keypoint_metrics(model: Path, people: Path, out: Path) -> dict[str, float]:
    from maskrt.runtime import evaluate

    assert ended(evaluate.main, model, "--data", people, "-o", out) == 0
    return json.loads(out.read_text())


def test_twenty_people_learned_by_heart_survive_export_and_int8(
    people: Path, checkpoint: Path, tmp_path: Path
) -> None:
    from maskrt.calibration import calibrate
    from maskrt.export import to_onnx

    exact, rounded = tmp_path / "people.onnx", tmp_path / "people.int8.onnx"
    assert ended(to_onnx.main, checkpoint, "-o", exact, "--dynamic", "--detections", "dynamic") == 0
    data = ["--data", people, "--val", people, "--max-ap-drop", 100 * DROP]
    assert ended(calibrate.main, exact, *data, "-o", rounded) == 0
    learned, exported, int8 = (
        keypoint_metrics(model, people, tmp_path / "metrics.json") for model in (checkpoint, exact, rounded)
    )
    print({name: (learned[name], exported[name], int8[name]) for name in ("keypoint_ap", "keypoint_ap50")})
    assert learned["keypoint_ap50"] >= OKS_AP50
    assert exported["keypoint_ap"] == pytest.approx(learned["keypoint_ap"], abs=1e-3)
    assert int8["keypoint_ap"] >= exported["keypoint_ap"] - DROP
    assert int8["keypoint_ap50"] >= OKS_AP50
