"""A dataclass from JSON: what its annotations promise is held, and what breaks them is named by its path."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest

from maskrt.runtime.errors import ModelError
from maskrt.runtime.rules import number, one_of, whole
from maskrt.runtime.structs import SHOWN_CHARACTERS, FileKind, Format, plain, read, wrong

METHODS = {"mean": 1, "mode": 2}
KIND = FileKind("recipe", "not a recipe", "Write it again: cook {source}", ModelError)


@dataclass(frozen=True)
class Grid:
    side: Annotated[int, whole(1, 64)]
    kind: Literal["box", "image"] = "box"


@dataclass(frozen=True)
class Section:
    FORMAT: ClassVar[Format] = Format(3)
    low: float
    high: float

    def __post_init__(self) -> None:
        if self.high < self.low:
            raise wrong("high", self.high, f"at least low, {self.low}")


@dataclass(frozen=True)
class Recipe:
    FORMAT: ClassVar[Format] = Format(2, "format_version")
    name: str
    grids: tuple[Grid, ...]
    section: Section
    share: Annotated[float, number(0, 1)]
    method: Annotated[str, one_of(METHODS)]
    axes: tuple[int | str, ...]
    mean: tuple[float, float, float]
    layers: dict[str, dict[str, Literal["int8", "float"]]]
    sure: bool
    grid: Grid | None = None
    anything: dict[str, Any] = field(default_factory=dict)


RECIPE = Recipe(
    *("soup", (Grid(8), Grid(9, "image")), Section(0.5, 1), 0.25, "mean", ("batch", 100, "width")),
    *((0.0, 1, 2.5), {"stem": {"body.conv1": "int8"}}, True, Grid(1), {"a": [1, None]}),
)


def test_comes_back_as_it_was() -> None:
    text = json.dumps(plain(RECIPE))
    assert read(Recipe, text, "a.json", KIND) == RECIPE
    assert read(Recipe, text.encode(), "a.json", KIND) == RECIPE
    assert list(json.loads(text))[:2] == ["format_version", "name"], "the format number stands first"
    assert json.loads(text)["section"] == {"format": 3, "low": 0.5, "high": 1}


def test_what_has_a_default_may_be_missing() -> None:
    fields = plain(RECIPE)
    del fields["grid"], fields["anything"], fields["grids"][1]["kind"]
    again = read(Recipe, fields, "a.json", KIND)
    assert (again.grid, again.anything, again.grids[1]) == (None, {}, Grid(9, "box"))


def test_a_part_that_was_read_before_is_taken_as_it_is() -> None:
    fields = plain(RECIPE) | {"section": Section(1, 2)}
    assert read(Recipe, fields, "a.json", KIND) == dataclasses.replace(RECIPE, section=Section(1, 2))


@pytest.mark.parametrize("length", [SHOWN_CHARACTERS, SHOWN_CHARACTERS + 1])
def test_a_long_value_is_shown_in_part(length: int) -> None:
    """Not longer than others may be, whether or not it was cut."""
    value = "a" * (length - len("''"))
    shown = repr(value) if length == SHOWN_CHARACTERS else "'" + "a" * (SHOWN_CHARACTERS - 3) + " …"
    assert len(shown) == SHOWN_CHARACTERS
    assert str(wrong("side", value, "a number")) == f"side is {shown}, expected a number"


def refusal(content: Any) -> str:
    with pytest.raises(ModelError) as caught:
        read(Recipe, content, "a.json", KIND)
    said = str(caught.value)
    assert said.startswith("a.json: ")
    assert said.endswith(" Write it again: cook a.json")
    return said.removeprefix("a.json: ").removesuffix(". Write it again: cook a.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.update(name=7), "'name' is 7, expected a text"),
        (lambda f: f.update(sure=1), "'sure' is 1, expected true or false"),
        (lambda f: f.update(share=1.5), "'share' is 1.5, expected a number from 0 to 1"),
        (lambda f: f.update(share=float("nan")), "'share' is nan, expected a number from 0 to 1"),
        (lambda f: f.update(share=True), "'share' is True, expected a number from 0 to 1"),
        (lambda f: f.update(share=10**400), "expected a number from 0 to 1"),
        (lambda f: f.update(method=[]), "'method' is [], expected 'mean' or 'mode'"),
        (lambda f: f.update(mean=[1, 2]), "'mean' is [1, 2], expected a list of 3"),
        (lambda f: f["mean"].__setitem__(1, 10**400), "'mean[1]' is 1000"),
        (lambda f: f["mean"].__setitem__(2, float("inf")), "'mean[2]' is inf, expected a finite number"),
        (lambda f: f["axes"].__setitem__(1, None), "'axes[1]' is None, expected a whole number or a text"),
        (lambda f: f["axes"].__setitem__(0, True), "'axes[0]' is True, expected a whole number or a text"),
        (lambda f: f.update(grids={}), "'grids' is {}, expected a list"),
        (
            lambda f: f["grids"][1].update(side=0),
            "'grids[1].side' is 0, expected a whole number from 1 to 64",
        ),
        (lambda f: f["grids"][1].update(side=65), "'grids[1].side' is 65"),
        (lambda f: f["grids"][0].update(side=True), "'grids[0].side' is True"),
        (
            lambda f: f["grids"][0].update(kind="round"),
            "'grids[0].kind' is 'round', expected 'box' or 'image'",
        ),
        (lambda f: f["grids"].__setitem__(0, None), "'grids[0]' is None, expected an object"),
        (lambda f: f.update(grid=3), "'grid' is 3, expected an object, or null"),
        (lambda f: f.update(grid={"side": 99}), "'grid.side' is 99, expected a whole number from 1 to 64"),
        (lambda f: f.update(grid={}), "'grid' has missing fields ['side'] and unknown fields []"),
        (lambda f: f["section"].update(high=-1), "'section.high' is -1, expected at least low, 0.5"),
        (lambda f: f["layers"].update(stem=[]), "field 'layers['stem']' is [], expected an object"),
        (
            lambda f: f["layers"]["stem"].update({"body.conv1": "int4"}),
            "'layers['stem']['body.conv1']' is 'int4', expected 'int8' or 'float'",
        ),
        (lambda f: f.update(anything=[]), "'anything' is [], expected an object"),
        (lambda f: f.update(name=["long"] * 99), "…, expected a text"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(change: Any, said: str) -> None:
    fields = json.loads(json.dumps(plain(RECIPE)))
    change(fields)
    message = refusal(json.dumps(fields))
    assert message.startswith("the recipe's field ")
    assert said in message
    assert len(message) < 160


def test_missing_and_unknown_fields_are_all_named() -> None:
    fields = plain(RECIPE)
    del fields["share"], fields["axes"]
    fields["mood"] = "good"
    expected = "the recipe has missing fields ['axes', 'share'] and unknown fields ['mood']"
    assert refusal(fields) == expected


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", '"text"', "{}", b"\xff\xfe", "[" * 100_000])
def test_what_is_no_such_object_is_denied(text: str | bytes) -> None:
    assert refusal(text).startswith("not a recipe (")


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(plain(RECIPE)))
    assert read(Recipe, tmp_path / "recipe.json", "recipe.json", KIND) == RECIPE
    with pytest.raises(ModelError, match=r"^none: cannot be read \(No such file or directory\)\. Write it"):
        read(Recipe, tmp_path / "none", "none", KIND)


@pytest.mark.parametrize(("got", "upgrade"), [(3, True), (1, False), ("two", False), (None, False)])
def test_another_format_is_refused(got: Any, upgrade: bool) -> None:
    said = refusal(plain(RECIPE) | {"format_version": got})
    assert f"the recipe has format {got}, but this maskrt reads format 2" in said
    assert ("Upgrade maskrt here, or go on with this one: Write it again" in said) is upgrade


def test_another_format_of_a_section_is_named_by_its_path() -> None:
    fields = plain(RECIPE)
    fields["section"]["format"] = 4
    assert "the recipe's field 'section' has format 4, but this maskrt reads format 3" in refusal(fields)
