"""examples/matterport/droplets.py, on two droplet images in small."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import pytest

from benchmarks.samples import COCO_CLASSES
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.inputs.images import read_image
from tests.conftest import REPOSITORY
from tests.narrow import narrow_resnets

SCALE = 8  # of the images and their polygons, downwards


@pytest.fixture
def droplets(data_dir: Path, tmp_path: Path) -> Path:
    """train/ and val/ of one image each, an eighth as wide."""
    for subset in ("train", "val"):
        folder = data_dir / "droplets" / subset
        key, entry = next(iter(json.loads((folder / "via_region_data.json").read_text()).items()))
        image = read_image(folder / entry["filename"])
        size = image.shape[1] // SCALE, image.shape[0] // SCALE
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        write_png(tmp_path / subset / entry["filename"], small)
        for region in entry["regions"].values():
            shape = region["shape_attributes"]
            for axis in ("all_points_x", "all_points_y"):
                shape[axis] = [value / SCALE for value in shape[axis]]
        (tmp_path / subset / "via_region_data.json").write_text(json.dumps({key: entry}))
    return tmp_path


@pytest.fixture
def example() -> ModuleType:
    path = REPOSITORY / "examples" / "matterport" / "droplets.py"
    spec = importlib.util.spec_from_file_location("droplets_example", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def narrow() -> Iterator[None]:
    """A small model is written and read sooner."""
    with narrow_resnets():
        yield


@pytest.mark.usefixtures("narrow")
def test_the_example_trains_from_a_checkpoint_and_splashes(
    example: ModuleType, droplets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = droplets / "coco.pt"
    sizes: dict[str, Any] = {"min_size_px": 64, "max_size_px": 80, "fpn_channels": 32, "mask_convs": (32,)}
    few: dict[str, Any] = {"box_samples": 16, "rpn_post_nms_train": 50, "rpn_post_nms_test": 50}
    config = MaskRcnnConfig(num_classes=4, backbone="resnet18", norm="bn", **sizes, **few)
    weights = build_mask_rcnn(config).state_dict()
    Checkpoint(config=config, classes=COCO_CLASSES[:3], state_dict=weights).save(start)
    logs = droplets / "logs"
    example.main(
        ["train", "--dataset", str(droplets), "--weights", str(start), "--logs", str(logs), "--epochs", "1"]
    )
    assert "left out, and learned anew: roi_heads.box_predictor.cls_score.weight" in capsys.readouterr().err
    assert json.loads((logs / "metrics.json").read_text()).keys() >= {"mask_ap", "box_ap"}
    image = next((droplets / "val").glob("*.jpg"), None) or next((droplets / "val").glob("*.png"))
    example.main(["splash", "--weights", str(logs / "best.pt"), "--image", str(image)])
    splashed = read_image(image.with_name(f"{image.stem}-splash.png"))
    assert splashed.shape == read_image(image).shape
