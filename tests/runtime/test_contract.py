from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskrt.runtime.contract import FORMAT_VERSION, Canvas, Category, Contract
from maskrt.runtime.errors import ContractError

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
    assert (type(again.classes), type(again.mean), type(again.std)) == (tuple, tuple, tuple)
    assert (type(again.classes[0]), type(again.canvas)) == (Category, Canvas)
    assert again.class_names == ["cat", "toothbrush", "car"]


@given(names=st.lists(st.text(), max_size=5), threshold=st.floats(0, 1))
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

    assert f"contract format {FORMAT_VERSION + 1}, but this maskrt reads format {FORMAT_VERSION}" in said
    assert "Upgrade maskrt here" in said


@pytest.mark.parametrize("version", [FORMAT_VERSION - 1, "one", None])
def test_refuses_an_older_or_senseless_format(version: object, contract_with: Make) -> None:
    said = message(changed(contract_with(), lambda f: f.update(format_version=version)))

    assert f"contract format {version}, but this maskrt reads format {FORMAT_VERSION}" in said
    assert EXPORT_AGAIN in said
    assert "Upgrade" not in said


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: f.pop("mask_size"), "missing fields ['mask_size'] and unknown fields []"),
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


WRONG = [  # field, what is written there, what was expected
    ("batch", -1, "a whole number from 1 to 4096, or null"),
    ("batch", 0, "a whole number from 1 to 4096, or null"),
    ("batch", 10**9, "a whole number from 1 to 4096, or null"),
    ("batch", 1.0, "a whole number"),
    ("batch", True, "a whole number"),
    ("canvas.height_px", 10**9, "a whole number from 1 to 16384"),
    ("canvas.height_px", -32, "a whole number"),
    ("canvas.height_px", "64", "a whole number"),
    ("canvas.height_px", 63.5, "a whole number"),
    ("canvas.height_px", 63, "a multiple of canvas.stride, 32"),
    ("canvas.height_px", None, "null just where canvas.height_px is"),
    ("canvas.stride", 0, "a whole number from 1 to 1024"),
    ("canvas.min_size_px", 0, "a whole number from 1"),
    ("canvas.max_size_px", 63, "at least canvas.min_size_px, 64"),
    ("canvas.dtype", "float16", "'uint8' or 'float32'"),
    ("canvas.layout", [], "'corner' or 'square'"),
    ("config", None, "an object"),
    ("classes[1].id", "9", "a whole number"),
    ("classes[1].id", 17, "an id that no other class has"),
    ("classes[1].name", 9, "a text"),
    ("classes", {}, "a list"),
    ("mean", [0.4, float("nan"), 0.4], "a list of 3 finite numbers"),
    ("mean", [0.4, 0.4], "a list of 3 finite numbers"),
    ("std", [0.2, 0, 0.2], "a list of 3 finite numbers above 0"),
    ("score_threshold", float("nan"), "a number from 0 to 1"),
    ("score_threshold", "0.5", "a number from 0 to 1"),
    ("nms_threshold", 1e400, "a number from 0 to 1"),
    ("max_detections", 0, "a whole number from 1"),
    ("mask_size", None, "null just where mask_size is"),
    ("keypoints", {"names": [1], "skeleton": []}, "a text"),
    ("mask_threshold", -0.5, "a number from 0 to 1, or null"),
    ("mask_frame", "circle", "'box' or 'image', or null"),
    ("detections", 7, "'fixed' or 'dynamic'"),
    ("precision_details", [], "an object"),
    ("keypoints", {"names": ["a"], "skeleton": [[0, 1]]}, "two places in the list of names"),
    ("keypoints", {"names": "ab", "skeleton": []}, "a list"),
]


@pytest.mark.parametrize(("field", "value", "expected"), WRONG, ids=lambda value: str(value)[:24])
def test_a_value_outside_its_range_is_named_by_its_field(
    field: str, value: object, expected: str, contract_with: Make
) -> None:
    def change(fields: dict) -> None:
        *where, last = field.replace("[1]", ".1").split(".")
        for key in where:
            fields = fields[int(key) if key.isdecimal() else key]
        fields[last] = value

    said = message(changed(contract_with(height_px=64, width_px=96), change))

    assert field.split(".")[0] in said
    assert expected in said
    assert EXPORT_AGAIN in said
    assert len(said) < 400


def test_json_that_is_nested_without_end_is_no_contract() -> None:
    assert "is not a maskrt contract" in message("[" * 100_000)
