"""FP16 and INT8 on four drawn classes: what they cost where classes compete.

Calibrated on training images, judged on validation images and their annotations, by the commands a user types.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from maskrt.calibration.decide.plan import Plan
from maskrt.export.demo import TRAIN, VALIDATION, write_images
from maskrt.runtime.inputs.images import find_images
from tests.full.conftest import HEIGHT_PX, WIDTH_PX
from tests.full.exported import Exported, export, loss_of

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]

# Issue of calibration, "What it must show", 1: points of mask AP.
FP16_DROP, INT8_DROP = 0.1, 0.2
INT8_SHARE = 0.95  # of the multiply-adds
SMALLER = 0.3  # of the float32 file's size
SIZE = ("--height", str(HEIGHT_PX), "--width", str(WIDTH_PX))


@pytest.fixture(scope="module")
def scenes(scenes_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("scenes")
    write_images(folder / "images")
    return Exported(
        checkpoint=scenes_checkpoint,
        fp32=export(scenes_checkpoint, folder / "model.onnx", *SIZE),
        train=TRAIN,
        calibrated_on=40,
        val=(VALIDATION,),
        unseen=tuple(find_images([str(folder / "images")])),
    )


def test_fp16_costs_nothing(scenes: Exported, tmp_path: Path) -> None:
    images = [word for path in scenes.unseen for word in ("--images", str(path))]
    half = export(scenes.checkpoint, tmp_path / "half.onnx", *SIZE, "--precision", "fp16", *images)
    expected, actual = (scenes.mask_ap(model, tmp_path) for model in (scenes.fp32, half))
    print(f"mask AP {expected:.2f} in FP32, {actual:.2f} in FP16")
    assert abs(expected - actual) <= FP16_DROP
    assert half.stat().st_size < 0.51 * scenes.fp32.stat().st_size
    assert scenes.parity(half) == 0


def test_int8_costs_next_to_nothing_without_any_fallback(scenes: Exported, tmp_path: Path) -> None:
    """The gate holds the rest: 98% of the instances above 0.5 matched, mean mask IoU 0.97. That the tensorrt
    flavour misses one of its limits narrowly, by either method, stands in docs/precision.md."""
    output = tmp_path / "int8.onnx"
    assert scenes.calibrate(output, "--max-ap-drop", INT8_DROP, "--min-mask-iou", 0.97) == 0
    plan = Plan.read(output.with_suffix(".plan.json"))
    assert plan == scenes.default_plan("cpu"), "no layer went back to float"
    size = output.stat().st_size / scenes.fp32.stat().st_size
    print(f"{loss_of(output)}, {scenes.share_in_int8(plan):.1%} in INT8, {size:.0%} of the size")
    assert scenes.share_in_int8(plan) >= INT8_SHARE
    assert size < SMALLER
    assert scenes.parity(output) == 0
