"""A dataclass among a command's parameters: its fields are the command's options."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from maskrt.runtime.commands.door import outputs_of
from maskrt.runtime.commands.groups import flattened
from maskrt.runtime.commands.program import Program
from maskrt.runtime.errors import OptionError
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import METRICS

got: dict[str, Any] = {}


@dataclass(frozen=True)
class Canvas:
    height: Annotated[int, typer.Option(help="In px")]
    width: Annotated[int | None, typer.Option("--wide", min=1, help="In px")] = None

    def __post_init__(self) -> None:
        if self.width == self.height:
            raise OptionError(f"--wide {self.width} is --height.")


@dataclass(frozen=True)
class Files:
    output: Annotated[Path | None, typer.Option("-o"), Writes(METRICS)] = None
    names: Annotated[list[str] | None, typer.Option("--name")] = None


def command(
    model: Annotated[Path, typer.Argument(help="A model")],
    canvas: Canvas,
    files: Files,
    quiet: Annotated[bool, typer.Option("--quiet")] = False,
) -> None:
    """Keep what was given."""
    got.update(locals())


def ended(*args: str) -> int:
    got.clear()
    with pytest.raises(SystemExit) as stopped:
        Program("trial", command)([*args])
    return int(stopped.value.code or 0)


def test_the_fields_are_options_in_the_group_s_place() -> None:
    parameters = inspect.signature(flattened(command)).parameters

    assert list(parameters) == ["model", "height", "width", "output", "names", "quiet"]
    assert parameters["height"].default is inspect.Parameter.empty
    assert parameters["width"].default is None


def test_a_command_gets_its_groups_whole() -> None:
    line = ("m", "--height", "3", "--wide", "4", "--name", "a", "--name", "b", "--quiet")
    assert ended(*line) == 0
    assert got == {
        "model": Path("m"),
        "canvas": Canvas(3, 4),
        "files": Files(None, ["a", "b"]),
        "quiet": True,
    }


def test_defaults_are_the_dataclass_s() -> None:
    assert ended("m", "--height", "3") == 0
    assert (got["canvas"], got["files"], got["quiet"]) == (Canvas(3), Files(), False)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["m"], "Missing option '--height'"),
        (["m", "--height", "3", "--wide", "0"], "'--wide'"),
        (["m", "--height", "3", "--wide", "3"], "trial: --wide 3 is --height."),
    ],
    ids=" ".join,
)
def test_what_a_field_or_the_group_refuses_is_a_sentence(
    line: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ended(*line) == 2
    assert said in capfd.readouterr().err
    assert not got


def test_an_output_in_a_group_is_checked_as_any_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    letter = tmp_path / "metrics.json"
    letter.write_text("Dear reader", encoding="utf-8")

    assert list(outputs_of(flattened(command))) == ["output"]
    assert ended("m", "--height", "3", "-o", str(letter)) == 2
    assert f"{letter}: is there already" in capfd.readouterr().err


def test_two_options_of_one_name_are_a_mistake_of_the_command() -> None:
    def twice(canvas: Canvas, height: int) -> None: ...

    with pytest.raises(ValueError, match="height"):
        flattened(twice)
