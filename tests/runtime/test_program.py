"""However a command ends, it is one sentence and an exit code, or a traceback where the fault is ours."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from maskrt.runtime.commands.program import Program
from maskrt.runtime.commands.terminal import LONGEST_CHARACTERS, shortened
from maskrt.runtime.errors import MaskrtError, ParityError


def ending(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


def ended(error: BaseException, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and standard error of a command that ends so."""
    with pytest.raises(SystemExit) as end:
        Program("maskrt cook", ending(error))([])
    said = capfd.readouterr()
    assert said.out == ""
    return int(end.value.code or 0), " ".join(said.err.split())


class Refused(MaskrtError):
    exit_code = 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MaskrtError("egg.pt: broken. Take another."), 2, "maskrt cook: egg.pt: broken. Take another."),
        (ParityError("egg.pt: other."), ParityError.exit_code, "maskrt cook: egg.pt: other."),
        (Refused("egg.pt: too old."), 1, "maskrt cook: egg.pt: too old."),
        (OSError(errno.ENOSPC, "No space left on device", "egg.png"), 2,
         "maskrt cook: egg.png: No space left on device. Look whether it is there, and the disk has room."),
        (OSError("gone"), 2, "maskrt cook: standard output: gone. Look whether it is there, and the disk has room."),
        (RecursionError(), 2, "maskrt cook: an input is nested too deeply to be read. Look at what it holds."),
        (RuntimeError("Symlink loop from 'egg'"), 2, "maskrt cook: Symlink loop from 'egg': a link that leads to "
         "itself names no file. Remove it, or name another."),
        (MemoryError(), 2, "maskrt cook: memory ran out. Take a smaller --batch, smaller images, or a machine with "
         "more of it."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)  # fmt: skip
def test_an_error_is_one_sentence(
    error: BaseException, code: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ended(error, capfd) == (code, said)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("a bug"), AssertionError("a bug")])
def test_a_fault_of_ours_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error), match="a bug"):
        Program("maskrt cook", ending(error))([])


def test_a_long_message_loses_its_middle() -> None:
    """Its beginning names the file, its end says what to do."""
    whole = "a" * LONGEST_CHARACTERS
    assert shortened(whole) == whole
    assert (
        shortened("b" + whole)
        == "b" + whole[1 : LONGEST_CHARACTERS // 2] + " … " + whole[LONGEST_CHARACTERS // 2 :]
    )
