"""No command writes over an input, or over a file of another kind: every verb and every output option."""

from __future__ import annotations

import importlib
import inspect
import os
import typing
from pathlib import Path

import cv2
import numpy as np
import pytest

import maskrt.__main__ as umbrella
from maskrt.runtime.commands.door import guarded, outputs_of
from maskrt.runtime.commands.groups import flattened
from maskrt.runtime.commands.program import Program
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import METRICS

Call = tuple[str, ...]  # a verb, and a command of it where it has several
Option = tuple[Call, str]

SEVERAL = {"parity": ("compare", "record", "check", "bisect"), "engine": ("inspect", "unpack")}
CALLS: list[Call] = [
    (verb, *rest) for verb in umbrella.VERBS for rest in ([(n,) for n in SEVERAL.get(verb, ())] or [()])
]
#: Parameters that name a path to read; a new one is to be put here, or marked with maskrt.runtime.files.guard.Writes.
READ = {"model", "models", "image", "images", "val_images", "reference", "candidate", "bundle", "engine"}
READ |= {"against", "checkpoint", "start", "qat", "onto", "plan", "from_cache", "tensorrt_root", "run_config"}


def program(call: Call) -> Program:
    main = importlib.import_module(umbrella.VERBS[call[0]][0]).main
    return main.verb(call[1]) if len(call) > 1 else main


def run(call: Call, args: list[str]) -> None:
    program(call)(args)


COMMANDS = {call: flattened(program(call).command) for call in CALLS}
OUTPUTS = [(call, name) for call in CALLS for name in outputs_of(COMMANDS[call])]
every_output = pytest.mark.parametrize(
    "option", OUTPUTS, ids=lambda option: " ".join((*option[0], option[1]))
)


def arguments(option: Option, value: Path, readable: Path) -> list[str]:
    """The option with a value, and all that its command requires: a file that is there."""
    call, name = option
    args: list[str] = []
    for parameter in program(call).parser().params:
        if parameter.name == name or parameter.required:
            given = str(value if parameter.name == name else readable)
            args += [given] if parameter.param_type_name == "argument" else [parameter.opts[0], given]
    return args


def refusal(option: Option, value: Path, readable: Path, capfd: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        run(option[0], arguments(option, value, readable))
    said = capfd.readouterr().err
    assert ended.value.code == 2, said
    assert "Traceback" not in said
    return said


def photo(path: Path) -> Path:
    data = cv2.imencode(".png", np.full((8, 8, 3), 90, np.uint8))[1]
    path.write_bytes(data.tobytes())
    return path


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_every_path_of_a_command_is_known_to_be_read_or_written(call: Call) -> None:
    command = COMMANDS[call]
    hints = typing.get_type_hints(command, include_extras=True)
    paths = {name for name, hint in hints.items() if "Path" in str(getattr(hint, "__origin__", hint))}
    written = set(outputs_of(command))
    assert paths - READ - written == set(), "put it into READ above, or mark it with Writes"
    for name in set(hints) - written - {"return"}:
        info = next(mark for mark in hints[name].__metadata__ if hasattr(mark, "help"))
        words = (info.help or "").lower()
        tells = words.startswith(("write ", "draw the ", "where to put")) or " to write" in words
        assert not (tells and name in paths), f"{name} is written, and not marked with Writes"


@every_output
@pytest.mark.parametrize("way", ["itself", "link", "hard link", "relative"])
def test_an_input_is_never_written_over(
    option: Option, way: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mark = outputs_of(COMMANDS[option[0]])[option[1]]
    suffix = "" if mark.kind else next(iter(mark.beside), "")
    source = photo(tmp_path / f"source{suffix}")
    before = source.read_bytes()
    target = {
        "itself": source,
        "link": tmp_path / f"linked{suffix}",
        "hard link": tmp_path / f"hard{suffix}",
        "relative": Path(os.path.relpath(tmp_path)) / "x" / ".." / source.name,
    }[way]
    (tmp_path / "x").mkdir()
    if way == "link":
        target.symlink_to(source)
    if way == "hard link":
        target.hardlink_to(source)

    said = refusal(option, target, source, capfd)

    assert source.read_bytes() == before
    if mark.files(target) and str(source) in arguments(option, Path(), source):
        assert f"{target}: is an input of this command" in said
        assert "--overwrite" in said


@every_output
def test_a_file_of_another_kind_is_never_written_over(
    option: Option, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever its name: a photograph that is called as the output would be."""
    mark = outputs_of(COMMANDS[option[0]])[option[1]]
    readable = photo(tmp_path / "photo.png")
    value = tmp_path / "kept.mp4"
    for target, kind in mark.files(value) or [(value, None)]:
        photo(target)

        said = refusal(option, value, readable, capfd)

        assert target.read_bytes() == readable.read_bytes()
        if kind:
            assert f"{target}: is there already, and is a PNG image, where {kind.name} would be" in said
        target.unlink()


def test_a_command_that_writes_what_it_does_not_declare_is_found_out(tmp_path: Path) -> None:
    def forgetful(output: Path) -> None:
        write_text(output, "{}", METRICS)

    def mindful(output: typing.Annotated[Path, Writes(METRICS)]) -> None:
        write_text(output, "{}", METRICS)

    with pytest.raises(TypeError, match="no option of the command declares it"):
        guarded(forgetful)(output=tmp_path / "a.json")
    guarded(mindful)(output=tmp_path / "a.json")


def test_only_a_command_that_has_outputs_takes_overwrite() -> None:
    def reads(model: Path) -> None: ...
    def writes(output: typing.Annotated[Path, Writes(METRICS)]) -> None: ...

    assert [*inspect.signature(guarded(reads)).parameters] == ["model"]
    assert [*inspect.signature(guarded(writes)).parameters] == ["output", "overwrite"]
