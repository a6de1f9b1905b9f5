"""Which files a command may write: those that its options name, and none that it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.guard import Guard, Writes, check_output, guarding, note_read, offers, overwrites
from maskrt.runtime.files.kinds import LINES, ONNX, PLOT, SCALES

MODEL = Writes(ONNX, {".scales.json": SCALES})
FOLDER = Writes(None, {".jsonl": LINES})
OUT = Path("out/model.onnx")


@pytest.mark.parametrize(
    ("mark", "option", "path", "covered"),
    [
        (MODEL, OUT, OUT, True),
        (MODEL, OUT, Path("out/model.scales.json"), True),
        (MODEL, OUT, Path("out/other.onnx"), False),
        (MODEL, OUT, Path("out/model.onnx/a.png"), False),
        (MODEL, None, OUT, False),
        (FOLDER, Path("out"), Path("out/deep/a.png"), True),
        (FOLDER, Path("out.mp4"), Path("out/a.png"), True),
        (FOLDER, Path("out"), Path("out"), True),
        (FOLDER, Path("out"), Path("out.jsonl"), True),
        (FOLDER, Path("out"), Path("other/a.png"), False),
        (FOLDER, None, Path("out/a.png"), False),
    ],
)
def test_what_a_value_of_an_option_covers(
    mark: Writes, option: Path | None, path: Path, covered: bool
) -> None:
    assert mark.covers(option, path) is covered


def test_files_of_an_option() -> None:
    assert MODEL.files(OUT) == [(OUT, ONNX), (Path("out/model.scales.json"), SCALES)]
    assert MODEL.files(None) == []
    assert FOLDER.files(Path("out")) == [(Path("out.jsonl"), LINES)]


def test_a_file_that_no_option_declares_is_a_fault_of_ours(tmp_path: Path) -> None:
    guard = Guard([(MODEL, tmp_path / "a.onnx"), (FOLDER, None)], overwrite=True)
    guard.writing(tmp_path / "a.onnx", ONNX)
    with pytest.raises(TypeError, match=r"b\.onnx: no option of the command declares it"):
        guard.writing(tmp_path / "b.onnx", ONNX)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"\x08\x09\x12")
    return path


@pytest.mark.parametrize("read_first", [True, False])
def test_an_input_is_not_written_over_whichever_comes_first(read_first: bool, model: Path) -> None:
    link = model.with_name("link.onnx")
    link.symlink_to(model)
    guard = Guard([(MODEL, model)], overwrite=False)
    steps = [lambda: guard.reading(link), lambda: guard.writing(model, ONNX)]
    first, second = steps if read_first else steps[::-1]
    first()
    with pytest.raises(MaskrtError, match=r"a\.onnx: is an input of this command.*--overwrite"):
        second()


def test_with_overwrite_it_is(model: Path) -> None:
    guard = Guard([(MODEL, model)], overwrite=True)
    guard.reading(model)
    guard.writing(model, ONNX)


def test_a_file_of_another_kind_is_not_written_over(model: Path) -> None:
    guard = Guard([(Writes(PLOT), model)], overwrite=False)
    with pytest.raises(MaskrtError, match=r"a\.onnx: is there already, and is .*--overwrite"):
        guard.writing(model, PLOT)
    model.write_bytes(b"")
    guard.writing(model, PLOT)


def test_the_running_command_is_asked_and_the_innermost_of_several(model: Path) -> None:
    outer = Guard([], overwrite=True, options={"--cut"})
    inner = Guard([(MODEL, model)], overwrite=False)
    assert (overwrites(), offers("--cut")) == (False, True)
    with guarding(outer):
        assert (overwrites(), offers("--cut"), offers("--other")) == (True, True, False)
        with guarding(inner):
            assert (overwrites(), offers("--cut")) == (False, False)
            note_read(model)
            with pytest.raises(MaskrtError, match="is an input of this command"):
                check_output(model, ONNX)
        assert overwrites()
    check_output(model, PLOT)
