"""The acts of `maskrt calibrate`, each by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from maskrt.calibration import quantise
from maskrt.calibration.decide.candidate import put_contract, read_model
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.measure.ranges import KnownRanges
from maskrt.calibration.options import Asked, Judging
from maskrt.runtime.contract import LEARNED_SCALES, Contract, Precision
from maskrt.runtime.errors import AccuracyError, CalibrationError, ModelError, OptionError

LEARNED = {"backbone.body.conv1": 0.02}
Change = Callable[[Contract], Contract]


@pytest.fixture(scope="module")
def floats(random_onnx: Path) -> quantise.Floats:
    return quantise.read_floats(random_onnx, Asked())


def with_canvas(**changes: str) -> Change:
    return lambda contract: contract.on_canvas(**changes)


def pasted(rule: str) -> Change:
    def change(contract: Contract) -> Contract:
        masks = dataclasses.replace(contract.options.masks, paste=rule)
        return dataclasses.replace(contract, options=dataclasses.replace(contract.options, masks=masks))

    return change


def signed(
    source: Path, path: Path, precision: Precision, change: Change = lambda contract: contract, **origin: str
) -> Path:
    """The model with another contract."""
    model, contract = read_model(source, "fp32")
    origin_there = dataclasses.replace(contract.origin, **origin)
    put_contract(model, dataclasses.replace(change(contract), precision=precision, origin=origin_there))
    onnx.save_model(model, path)
    return path


def test_eight_bits_go_into_the_model_that_was_measured(floats: quantise.Floats) -> None:
    assert floats.base is floats.source
    assert floats.base_contract is floats.contract


def test_they_go_into_a_half_one_of_the_same_checkpoint_alone(random_onnx: Path, tmp_path: Path) -> None:
    half = signed(random_onnx, tmp_path / "half.onnx", Precision("fp16"))
    asked = Asked(flavour="tensorrt", onto=half)
    read = quantise.read_floats(random_onnx, asked)
    assert (read.contract.precision.name, read.base_contract.precision.name) == ("fp32", "fp16")

    signed(random_onnx, half, Precision("fp16"), checkpoint_sha256="0" * 64)
    with pytest.raises(ModelError, match="made from another checkpoint than"):
        quantise.read_floats(random_onnx, asked)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (with_canvas(resize="pil"), "canvas.resize pil, the reference's torch"),
        (with_canvas(rounding="nearest"), "canvas.rounding nearest, the reference's down"),
        (pasted("pixel_middles"), "instances.masks.paste pixel_middles, the reference's torchvision"),
    ],
    ids=["resize", "rounding", "paste"],
)
def test_ranges_by_one_rule_of_pixels_are_not_for_a_file_with_another(
    change: Change, named: str, random_onnx: Path, tmp_path: Path
) -> None:
    half = signed(random_onnx, tmp_path / "half.onnx", Precision("fp16"), change)

    with pytest.raises(ModelError, match=f"half.onnx: exported otherwise than .*its contract says {named}"):
        quantise.read_floats(random_onnx, Asked(flavour="tensorrt", onto=half))


@pytest.mark.parametrize(
    ("asked", "learned"),
    [
        (Asked(flavour="tensorrt"), LEARNED),
        (Asked(flavour="cpu"), {}),
        (Asked(flavour="tensorrt", from_cache=Path("trt.cache")), {}),
    ],
    ids=("tensorrt", "cpu", "cache"),
)
def test_scales_that_training_learned_are_for_tensorrt(
    asked: Asked, learned: dict[str, float], random_onnx: Path, tmp_path: Path
) -> None:
    path = signed(random_onnx, tmp_path / "qat.onnx", Precision("fp32", {LEARNED_SCALES: LEARNED}))

    assert quantise.read_floats(path, asked).learned == learned


def test_a_plan_with_the_last_layers_in_int8_has_to_be_asked_for(
    floats: quantise.Floats, tmp_path: Path
) -> None:
    path = tmp_path / "all.plan.json"
    quantise.first_plan(floats, Asked(last_layers=True)).write(path)

    with pytest.raises(AccuracyError, match="or ask for it: --last-layers"):
        quantise.first_plan(floats, Asked(plan=path))
    assert quantise.first_plan(floats, Asked(plan=path, last_layers=True)) == Plan.read(path)


def test_ranges_of_another_graph_are_refused_before_a_model_is_run(
    floats: quantise.Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantise, "open_judge", lambda *_, **__: pytest.fail("a model was opened"))
    plan = quantise.first_plan(floats, Asked())

    with pytest.raises(CalibrationError, match="no range is known of"):
        quantise.open_search(floats, KnownRanges({}, {}), plan, Judging(), [])


@pytest.mark.parametrize(
    ("group", "values", "said"),
    [
        (Asked, {"flavour": "gpu"}, "--flavour is 'gpu', expected one of cpu, tensorrt"),
        (Asked, {"method": "mean"}, "--method is 'mean'"),
        (Asked, {"onto": Path("half.onnx")}, "are for --flavour tensorrt"),
        (Judging, {"min_mask_iou": 1.1}, "--min-mask-iou 1.1"),
        (Judging, {"min_mask_iou": -0.1}, "--min-mask-iou -0.1"),
        (Judging, {"min_mask_iou": float("nan")}, "--min-mask-iou nan"),
        (Judging, {"max_ap_drop": -0.1}, "--max-ap-drop -0.1"),
        (Judging, {"max_ap_drop": float("nan")}, "--max-ap-drop nan"),
        (Judging, {"max_ap_drop": 0.1}, "--max-ap-drop 0.1: AP is measured on annotated images alone"),
        (Judging, {"min_mask_iou": 0.9, "limit": ["mask_iou=0.8"]}, "are one limit. Leave one of them out"),
    ],
)
def test_options_that_contradict_themselves_are_refused(
    group: type, values: dict[str, object], said: str
) -> None:
    with pytest.raises((CalibrationError, OptionError), match=said):
        group(**values)


def test_the_strictest_and_the_mildest_limits_are_allowed() -> None:
    assert (
        Judging(val="val", max_ap_drop=0.0, min_mask_iou=1.0).max_ap_drop,
        Judging(min_mask_iou=0.0).min_mask_iou,
    ) == (0, 0)
