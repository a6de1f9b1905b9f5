"""FP16 and INT8 on weights that were really trained: what they cost, and that the gate catches what is wrong.

Calibrated on training images, judged on validation images and their annotations, by the commands a user types.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.calibration.decide.plan import Plan
from maskrt.runtime.inputs.images import find_images, read_image
from tests.full.conftest import run
from tests.full.exported import Exported, Uneven, export, loss_of, made_uneven

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]

# Issue of calibration, "What it must show", 1: points of mask AP.
FP16_DROP, INT8_DROP = 0.1, 0.2
INT8_SHARE = 0.95  # of the multiply-adds
LEFT = 0.75  # of the multiply-adds in INT8 nevertheless, where a few channels are larger
SMALLER = 0.3  # of the float32 file's size
CALIBRATED_ON, SCANNED = 16, 8  # training images
COMPARED = 8  # validation images
INSIDE_BLOCKS = Uneven(
    ("body.layer1.0.bn1", "body.layer2.1.bn1"), ("body.layer1.0.conv2", "body.layer2.1.conv2")
)


def exported(checkpoint: Path, folder: Path, droplets: Path) -> Exported:
    return Exported(
        checkpoint=checkpoint,
        fp32=export(checkpoint, folder / "model.onnx"),
        train=str(droplets / "train"),
        calibrated_on=CALIBRATED_ON,
        val=(str(droplets / "val"), "--class-name", "droplet"),
        unseen=tuple(find_images([str(droplets / "val")])[:COMPARED]),
    )


def calibrate(*arguments: object) -> int:
    return run("maskrt.calibration.calibrate", *map(str, arguments))


@pytest.fixture(scope="module")
def droplets(droplets_checkpoint: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(droplets_checkpoint, tmp_path_factory.mktemp("droplets"), data_dir / "droplets")


@pytest.fixture(scope="module")
def half(droplets: Exported) -> Path:
    """The same in FP16."""
    scanned = find_images([droplets.train])[:SCANNED]
    images = [word for path in scanned for word in ("--images", str(path))]
    output = droplets.fp32.with_name("model.fp16.onnx")
    return export(droplets.checkpoint, output, "--precision", "fp16", *images)


@pytest.fixture(scope="module")
def hard(droplets_checkpoint: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The same function in float; four channels within two blocks a hundred times as large as the rest."""
    folder = tmp_path_factory.mktemp("hard")
    checkpoint = made_uneven(droplets_checkpoint, INSIDE_BLOCKS, folder / "hard.pt")
    return exported(checkpoint, folder, data_dir / "droplets")


def test_fp16_costs_nothing(droplets: Exported, half: Path, tmp_path: Path) -> None:
    expected, actual = (droplets.mask_ap(model, tmp_path) for model in (droplets.fp32, half))
    print(f"mask AP {expected:.2f} in FP32, {actual:.2f} in FP16")
    assert abs(expected - actual) <= FP16_DROP
    assert half.stat().st_size < 0.51 * droplets.fp32.stat().st_size
    assert droplets.parity(half) == 0


@pytest.mark.parametrize("flavour", ["cpu", "tensorrt"])
def test_int8_costs_next_to_nothing_without_any_fallback(
    flavour: str, droplets: Exported, half: Path, tmp_path: Path
) -> None:
    onto = ["--onto", half] if flavour == "tensorrt" else []
    output = tmp_path / "int8.onnx"
    limits = ["--max-ap-drop", INT8_DROP, "--min-mask-iou", 0.97]
    assert droplets.calibrate(output, "--flavour", flavour, *onto, *limits) == 0
    plan = Plan.read(output.with_suffix(".plan.json"))
    assert plan == droplets.default_plan(flavour), "no layer went back to float"
    share, size = droplets.share_in_int8(plan), output.stat().st_size / droplets.fp32.stat().st_size
    print(f"{flavour}: {loss_of(output)}, {share:.1%} in INT8, {size:.0%} of the size")
    assert share >= INT8_SHARE
    assert size < SMALLER
    assert droplets.parity(output) == 0


def test_on_a_hard_model_the_gate_finds_the_layers_and_the_rest_stays_int8(
    hard: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "int8.onnx"
    assert hard.calibrate(output) == 0
    said = capsys.readouterr().err
    print(said)
    assert "does not pass" in said
    plan = Plan.read(output.with_suffix(".plan.json"))
    assert {f"backbone.{name}" for name in INSIDE_BLOCKS.readers} & set(plan.float_layers)
    print(f"{hard.share_in_int8(plan):.1%} in INT8")
    assert hard.share_in_int8(plan) > LEFT
    assert hard.calibrate(tmp_path / "again.onnx", "--plan", output.with_suffix(".plan.json")) == 0


@pytest.mark.parametrize("made", ["droplets_onnx", "droplets_int8"])
def test_the_same_file_with_another_number_of_threads_loses_nothing(
    made: str, data_dir: Path, request: pytest.FixtureRequest
) -> None:
    """Sums in another order are no loss, whatever they do to AP."""
    file = request.getfixturevalue(made)
    data = ("--data", str(data_dir / "droplets/val"), "--class-name", "droplet")
    assert run("maskrt.runtime.evaluate", str(file), *data, "--threads", "1", "--against", str(file)) == 0


def test_black_images_are_refused_by_name(
    droplets: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"black{i}.png"), np.zeros((384, 704, 3), np.uint8))
    assert calibrate(droplets.fp32, "--data", tmp_path, "-o", tmp_path / "x.onnx") == 2
    assert "4 of 4 calibration images are blank" in capsys.readouterr().err


def test_nearly_black_images_show_nothing_or_give_ranges_that_are_refused_by_name(
    droplets: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i, path in enumerate(find_images([droplets.train])[:4]):
        cv2.imwrite(str(tmp_path / f"dark{i}.png"), read_image(path) // 16)
    output, plan = tmp_path / "x.onnx", default_plan(droplets, tmp_path)
    arguments = ["--data", tmp_path, "--val", *droplets.val, "-o", output, "--plan", plan]
    assert calibrate(droplets.fp32, *arguments) in (1, 2)
    said = capsys.readouterr().err
    nothing_found = "the model found no object in any calibration image" in said
    assert nothing_found or ("scales do not fit the images" in said and "of it clipped" in said)
    assert not output.exists()


def default_plan(data: Exported, folder: Path) -> Path:
    path = folder / "default.plan.json"
    data.default_plan("cpu").write(path)
    return path


def test_a_swapped_scale_is_caught_and_its_tensors_are_named(
    droplets: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert droplets.calibrate(tmp_path / "right.onnx") == 0
    fields = json.loads(droplets.fp32.with_suffix(".scales.json").read_text())
    tensors = fields["tensors"]
    ordered = sorted(tensors, key=lambda name: tensors[name]["maximum"])
    wide, narrow = ordered[-1], next(n for n in ordered if n.startswith("relu") and tensors[n]["maximum"] > 0)
    tensors[wide], tensors[narrow] = tensors[narrow], tensors[wide]
    swapped = tmp_path / "swapped.scales.json"
    swapped.write_text(json.dumps(fields))
    capsys.readouterr()
    arguments = ["--scales", swapped, "--plan", default_plan(droplets, tmp_path)]
    assert droplets.calibrate(tmp_path / "x.onnx", *arguments) == 1
    said = capsys.readouterr().err
    print(said)
    assert f"'{wide}'" in said or f"'{narrow}'" in said
    assert not (tmp_path / "x.onnx").exists()


def test_a_plan_with_the_last_layers_in_int8_is_caught_by_name(
    droplets: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = default_plan(droplets, tmp_path)
    plan.write_text(plan.read_text().replace('"float"', '"int8"'))
    assert droplets.calibrate(tmp_path / "x.onnx", "--plan", plan) == 1
    assert "puts the last layers into INT8 (proposals.head.cls_logits" in capsys.readouterr().err
    assert not (tmp_path / "x.onnx").exists()
