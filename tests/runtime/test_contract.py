from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskrt.runtime.contract import FORMAT_VERSION, Canvas, Category, Contract, Inside, Tap
from maskrt.runtime.errors import ContractError
from maskrt.runtime.structs import FieldError

Make = Callable[..., Contract]
SOURCE = "somewhere/model.onnx"
EXPORT_AGAIN = f"maskrt export CHECKPOINT -o {SOURCE}"


def message(text: str) -> str:
    with pytest.raises(ContractError) as caught:
        Contract.from_json(text, SOURCE)
    assert str(caught.value).startswith(f"{SOURCE}: ")
    assert caught.value.exit_code == 2
    return str(caught.value)


def changed(contract: Contract, change: Callable[[dict], object]) -> str:
    fields = json.loads(contract.to_json())
    change(fields)
    return json.dumps(fields)


def test_comes_back_from_json_as_it_was(contract_with: Make) -> None:
    contract = contract_with(height_px=64, width_px=96, batch=2, dtype="float32", precision="fp16")

    again = Contract.from_json(contract.to_json(), SOURCE)

    assert again == contract
    assert (type(again.classes), type(again.normalise.mean), type(again.inputs)) == (tuple, tuple, tuple)
    assert (type(again.classes[0]), type(again.canvas)) == (Category, Canvas)
    assert again.class_names == ["cat", "toothbrush", "car"]


@given(
    names=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5), threshold=st.floats(0, 1)
)
def test_comes_back_whatever_the_class_names(names: list[str], threshold: float, contract_with: Make) -> None:
    classes = tuple(Category(3 * i, name) for i, name in enumerate(names))
    contract = contract_with(classes=classes, score_threshold=threshold)

    assert Contract.from_json(contract.to_json(), SOURCE) == contract


def test_equal_contracts_are_equal_strings(contract_with: Make) -> None:
    one, other = contract_with(config={"a": 1, "b": 2}), contract_with(config={"b": 2, "a": 1})

    assert one.to_json() == other.to_json() != contract_with(config={"a": 1, "b": 3}).to_json()


def test_refuses_a_newer_format(contract_with: Make) -> None:
    text = changed(contract_with(), lambda f: f.update(format_version=FORMAT_VERSION + 1, novelty=7))

    said = message(text)

    assert (
        f"the contract has format {FORMAT_VERSION + 1}, but this maskrt reads format {FORMAT_VERSION}" in said
    )
    assert "Upgrade maskrt here" in said


@pytest.mark.parametrize("version", [FORMAT_VERSION - 1, "one", None])
def test_refuses_an_older_or_senseless_format(version: object, contract_with: Make) -> None:
    said = message(changed(contract_with(), lambda f: f.update(format_version=version)))

    assert f"the contract has format {version}, but this maskrt reads format {FORMAT_VERSION}" in said
    assert EXPORT_AGAIN in said
    assert "Upgrade" not in said


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: f.pop("origin"), "missing fields ['origin'] and unknown fields []"),
        (lambda f: f.update(mood="good"), "missing fields [] and unknown fields ['mood']"),
    ],
    ids=["missing", "unknown"],
)
def test_names_fields_that_do_not_fit(
    change: Callable[[dict], object], expected: str, contract_with: Make
) -> None:
    said = message(changed(contract_with(), change))

    assert expected in said
    assert EXPORT_AGAIN in said


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda f: f["canvas"].pop("stride"), "stride"),
        (lambda f: f["canvas"].update(colour="BGR"), "colour"),
        (lambda f: f["classes"][0].pop("name"), "name"),
        (lambda f: f.update(canvas=None), "canvas"),
        (lambda f: f.update(classes=3), "classes"),
    ],
    ids=["canvas misses a field", "canvas with another", "class misses a field", "no canvas", "no classes"],
)
def test_names_fields_that_do_not_fit_deeper_down(
    change: Callable[[dict], object], names: str, contract_with: Make
) -> None:
    said = message(changed(contract_with(), change))

    assert names in said
    assert EXPORT_AGAIN in said


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", '"text"', "{}", '{"task": "instance"}'])
def test_refuses_text_that_is_no_contract(text: str) -> None:
    said = message(text)

    assert "its 'maskrt.contract' metadata is not a maskrt contract" in said
    assert EXPORT_AGAIN in said


WRONG = [  # field, what is written there, the field that the message names, what was expected
    ("precision.name", "fp4", "precision.name", "'fp32' or 'fp16' or 'int8'"),
    ("classes", [], "classes", "at least one class"),
    ("classes[0].name", " ", "classes[0].name", "a text that is not empty"),
    ("inputs[0].axes", [-1, 64, 96, 3], "inputs[0].axes", "a whole number"),
    ("inputs[0].axes", [0, 64, 96, 3], "inputs[0].axes", "a whole number"),
    ("inputs[0].axes", [5000, 64, 96, 3], "inputs[0].axes", "a whole number from 1 to 4096, or 'batch'"),
    ("inputs[0].axes", ["N", 64, 96, 3], "inputs[0].axes", "a whole number from 1 to 4096, or 'batch'"),
    ("inputs[0].axes", ["batch", 32, 96, 3], "inputs[0].axes", "['batch', 64, 96, 3], of 'images'"),
    ("inputs[0].axes", [], "inputs", "a list of tensors with axes"),
    ("inputs", [], "inputs", "a list of tensors with axes"),
    ("inputs[0].dtype", "float32", "inputs[0].dtype", "'uint8', of 'images'"),
    ("inputs[1].name", "sizes", "inputs", "tensors named images, image_sizes"),
    ("outputs", [], "outputs", "tensors named num_detections, boxes, scores, labels, masks"),
    ("outputs[1].axes", ["batch", 9, 4], "outputs[1].axes", "['batch', 4, 4], of 'boxes'"),
    ("outputs[4].dtype", "float16", "outputs[4].dtype", "'float32', of 'masks'"),
    ("canvas.height_px", 10**9, "canvas.height_px", "a whole number from 1 to 16384"),
    ("canvas.height_px", (1 << 14) + 32, "canvas.height_px", "a whole number from 1 to 16384"),
    ("canvas.stride", 1025, "canvas.stride", "a whole number from 1 to 1024"),
    ("normalise.mean", [0, 1.1e6, 0], "normalise.mean[1]", "a number from -1e+06 to 1e+06"),
    ("canvas.height_px", -32, "canvas.height_px", "a whole number"),
    ("canvas.height_px", "64", "canvas.height_px", "a whole number"),
    ("canvas.height_px", 63.5, "canvas.height_px", "a whole number"),
    ("canvas.height_px", True, "canvas.height_px", "a whole number"),
    ("canvas.height_px", 63, "canvas.height_px", "a multiple of canvas.stride, 32"),
    ("canvas.height_px", None, "canvas.width_px", "null just where canvas.height_px is"),
    ("canvas.stride", 0, "canvas.stride", "a whole number from 1 to 1024"),
    ("canvas.min_size_px", 0, "canvas.min_size_px", "a whole number from 1"),
    ("canvas.max_size_px", 63, "canvas.max_size_px", "at least canvas.min_size_px, 64"),
    ("canvas.dtype", "float16", "canvas.dtype", "'uint8' or 'float32'"),
    ("canvas.placement", [], "canvas.placement", "'corner' or 'square' or 'native' or 'stretch'"),
    ("canvas.resize", "jax", "canvas.resize", "'torch' or 'pil' or 'opencv' or 'skimage'"),
    ("canvas.resize_dtype", "float16", "canvas.resize_dtype", "'uint8' or 'float32'"),
    (
        "canvas.rounding",
        "up",
        "canvas.rounding",
        "'down' or 'nearest' or 'nearest_by_side' or 'half_to_even'",
    ),
    ("instances.masks.paste", "by hand", "instances.masks.paste", "'torchvision' or 'pixel_middles'"),
    ("config", None, "config", "an object"),
    ("classes[1].id", "9", "classes[1].id", "a whole number"),
    ("classes[1].id", 17, "classes[1].id", "an id that no other class has"),
    ("classes[1].name", 9, "classes[1].name", "a text"),
    ("classes", {}, "classes", "a list"),
    ("normalise.mean", [0.4, float("nan"), 0.4], "normalise.mean[1]", "a number from"),
    ("normalise.mean", [0.4, 0.4], "normalise.mean", "a list of 3"),
    ("normalise.std", [0.2, 0, 0.2], "normalise.std[1]", "a number from 1e-06"),
    ("instances.score_threshold", float("nan"), "instances.score_threshold", "a number from 0 to 1"),
    ("instances.score_threshold", "0.5", "instances.score_threshold", "a number from 0 to 1"),
    ("instances.nms_threshold", 1e400, "instances.nms_threshold", "a number from 0 to 1"),
    ("instances.max_detections", 0, "instances.max_detections", "a whole number from 1"),
    ("instances.masks", None, "outputs", "tensors named num_detections, boxes, scores, labels"),
    ("instances.masks", 7, "instances.masks", "an object, or null"),
    ("instances.masks.size", 9, "outputs[4].axes", "['batch', 4, 9, 9], of 'masks'"),
    ("instances.masks.threshold", -0.5, "instances.masks.threshold", "a number from 0 to 1"),
    ("instances.rows", 7, "instances.rows", "'fixed' or 'dynamic'"),
    ("instances.keypoints", {"names": [1], "skeleton": []}, "instances.keypoints.names[0]", "a text"),
    ("instances.keypoints", {"names": "ab", "skeleton": []}, "instances.keypoints.names", "a list"),
    (
        "instances.keypoints",
        {"names": ["a"], "skeleton": [[0, 1]]},
        "instances.keypoints.skeleton",
        "two places in the list of names",
    ),
    ("inside.taps[1].kind", "stage", "inside.taps[1].kind", "'map' or 'counts'"),
    ("inside.taps[1].name", "canvas", "inside.taps[1].name", "a name that no other tensor has"),
    ("inside.taps[1].name", "boxes", "inside.taps[1].name", "a name that no other tensor has"),
    ("inside.taps[1].rows_of", "boxes", "inside.taps[1].rows_of", "null, since the tap is of kind 'map'"),
    (
        "inside.taps[1].kind",
        "rows",
        "inside.taps[1].rows_of",
        "since the tap is of kind 'rows'",
    ),
    ("inside.taps[1].kind", "boxes", "inside.taps[1].rows_of", "one of ['proposal_counts'], since"),
    ("inside.parts[1].takes", ["C9"], "inside.parts[1].takes", "a tap or an output"),
    ("inside.parts[1].gives", "C2", "inside.parts[1].gives", "a list"),
    ("layers.groups", [["backbone"]], "layers.groups[0]", "a list of 2"),
    ("layers.units", [1], "layers.units[0]", "a text"),
    ("precision.name", 16, "precision.name", "'fp32' or 'fp16' or 'int8'"),
    ("precision.details", [], "precision.details", "an object"),
    ("origin.checkpoint_sha256", 5, "origin.checkpoint_sha256", "a text"),
]


@pytest.mark.parametrize(("field", "value", "named", "expected"), WRONG, ids=lambda value: str(value)[:24])
def test_a_value_outside_its_range_is_named_by_its_field(
    field: str, value: object, named: str, expected: str, contract_with: Make
) -> None:
    def change(fields: dict) -> None:
        *where, last = field.replace("[", ".").replace("]", "").split(".")
        for key in where:
            fields = fields[int(key) if key.isdecimal() else key]
        fields[last] = value

    said = message(changed(contract_with(height_px=64, width_px=96), change))

    assert f"the contract's field '{named}" in said
    assert expected in said
    assert EXPORT_AGAIN in said
    assert len(said) < 400


@pytest.mark.parametrize(
    "ends",
    [
        {"min_size_px": 1, "max_size_px": 1, "stride": 1},
        {"min_size_px": 1 << 14, "max_size_px": 1 << 20, "stride": 1024},
        {"height_px": 1 << 14, "width_px": 1 << 14},
        {"height_px": 1, "width_px": 1, "stride": 1},
        {"score_threshold": 0.0, "nms_threshold": 1.0, "max_detections": 1},
        {"mask_threshold": 1.0, "mask_size": 1},
        {"mean": (-1e6, 0.0, 1e6), "std": (1e-6, 1.0, 1e6)},
        {"classes": (Category(-(1 << 53), "a"), Category(1 << 53, "b"))},
    ],
    ids=lambda ends: ", ".join(ends),
)
def test_both_ends_of_a_range_belong_to_it(ends: dict, contract_with: Make) -> None:
    contract = contract_with(**ends)

    assert Contract.from_json(contract.to_json(), "model.onnx") == contract


FORMAT_1 = {  # as maskrt 0.1 wrote it, in part
    "format_version": 1,
    "task": "instance",
    "family": "mask_rcnn",
    "config": {},
    "classes": [],
    "mean": [0.5, 0.5, 0.5],
    "mask_size": 28,
    "mask_frame": "box",
    "detections": "fixed",
    "precision": "fp32",
    "precision_details": {},
}


def test_a_contract_of_format_1_is_refused_with_the_command_that_exports_it_again() -> None:
    said = message(json.dumps(FORMAT_1))

    assert said == (
        f"{SOURCE}: the contract has format 1, but this maskrt reads format 2. Export the model again: "
        f"{EXPORT_AGAIN}"
    )


SECTIONS = ("canvas", "normalise", "instances", "inside", "layers", "precision", "origin")


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_has_a_format_number_of_its_own(section: str, contract_with: Make) -> None:
    said = message(changed(contract_with(), lambda f: f[section].update(format=2)))

    assert f"the contract's field '{section}' has format 2, but this maskrt reads format 1" in said
    assert "Upgrade maskrt here" in said


def test_json_that_is_nested_without_end_is_no_contract() -> None:
    assert "is not a maskrt contract" in message("[" * 100_000)


def test_a_family_s_tap_of_an_unknown_kind_is_named_with_those_there_are(contract_with: Make) -> None:
    with pytest.raises(FieldError, match=r"inside.taps\[0\].kind is 'mask', expected 'map' or 'counts'"):
        contract_with(inside=Inside(taps=(Tap("canvas", "mask"),)))


def test_a_file_from_before_the_rules_of_pixels_means_torchvision_s(contract_with: Make) -> None:
    def without(fields: dict) -> None:
        for name in ("resize", "resize_dtype", "rounding"):
            del fields["canvas"][name]
        del fields["instances"]["masks"]["paste"]

    contract = contract_with()

    assert Contract.from_json(changed(contract, without), "old.onnx") == contract
    assert (contract.canvas.resize, contract.canvas.rounding) == ("torch", "down")
    assert contract.options.masks.paste == "torchvision"


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_file_in_another_precision_keeps_the_rules_of_pixels(precision: str, contract_with: Make) -> None:
    contract = contract_with(resize="pil", rounding="nearest_by_side")
    masks = dataclasses.replace(contract.options.masks, paste="pixel_middles")
    contract = dataclasses.replace(contract, options=dataclasses.replace(contract.options, masks=masks))

    smaller = Contract.from_json(contract.in_precision(precision, {}).to_json(), SOURCE)

    assert (smaller.canvas.resize, smaller.canvas.rounding) == ("pil", "nearest_by_side")
    assert smaller.options.masks.paste == "pixel_middles"
    assert dataclasses.replace(smaller, precision=contract.precision) == contract


def test_a_filter_that_works_on_uint8_alone_is_given_nothing_else(contract_with: Make) -> None:
    said = message(
        changed(contract_with(), lambda fields: fields["canvas"].update(resize="pil", resize_dtype="float32"))
    )

    assert "'canvas.resize_dtype'" in said
    assert "what canvas.resize 'pil' works on, uint8" in said
