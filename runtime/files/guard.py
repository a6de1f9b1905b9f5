"""Protects a user's files: an output never replaces an input, nor a file of another kind.

A command marks the options that name its outputs (`Writes`); all others may name inputs. Every file is
written through `files.atomic`, which asks the guard first. A command that writes a file that none of its
options declares has a bug and ends with a TypeError. Files are compared by identity, not by name: links,
other cases and relative names are the same file. `--overwrite` lifts the protection.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.kinds import OWN_NAME, Kind, what_it_is

Name = str | os.PathLike[str]


@dataclass(frozen=True)
class Writes:
    """Marks an option, in its Annotated type, as a file that the command writes.

    kind: of the file; None: a folder, with all that the command puts into it. beside: of files written next
    to it, under its name with the suffix replaced.
    """

    kind: Kind | None
    beside: dict[str, Kind] = field(default_factory=dict)

    def files(self, path: Path | None) -> list[tuple[Path, Kind]]:
        """Files that a value of the option names, except those in a folder."""
        if path is None:
            return []
        own = [(path, self.kind)] if self.kind else []
        return own + [(path.with_suffix(suffix), kind) for suffix, kind in self.beside.items()]

    def covers(self, option: Path | None, path: Path) -> bool:
        """True if a value of the option declares the file."""
        if option is None:
            return False
        if self.kind is None and {option, option.with_suffix("")} & {path, *path.parents}:
            return True
        return path in [file for file, _ in self.files(option)]


class Guard:
    """Protection of the files of one run of a command."""

    def __init__(
        self, outputs: list[tuple[Writes, Path | None]], *, overwrite: bool, options: Collection[str] = ()
    ) -> None:
        """outputs: the options that name outputs, with their values. options: the names of all."""
        self.overwrite, self.options, self._outputs = overwrite, options, outputs
        self._read: set[tuple[int, int]] = set()
        self._written: dict[tuple[int, int], Path] = {}

    def reading(self, *paths: Name) -> None:
        """Register files that the command reads. Raises MaskrtError where one of them is an output."""
        for path in paths:
            identity = _identity(path)
            if identity is None:
                continue
            self._read.add(identity)
            if identity in self._written and not self.overwrite:
                raise _is_read(self._written[identity], path)

    def writing(self, path: Name, kind: Kind) -> None:
        """Raise MaskrtError where a file must not be written over."""
        path = Path(path)
        if kind is not OWN_NAME and not any(mark.covers(option, path) for mark, option in self._outputs):
            raise TypeError(f"{path}: no option of the command declares it. Mark one: Writes({kind.name!r})")
        identity = _identity(path)
        if identity is None or self.overwrite:
            return
        self._written[identity] = path
        if identity in self._read:
            raise _is_read(path, path)
        check_kind(path, kind)


_running: list[Guard] = []  # one command may run others, as `maskrt demo` does


@contextmanager
def guarding(guard: Guard) -> Iterator[Guard]:
    """Let `guard` check what is read and written within the block."""
    _running.append(guard)
    try:
        yield guard
    finally:
        _running.pop()


def overwrites() -> bool:
    """True if the running command was given --overwrite."""
    return bool(_running) and _running[-1].overwrite


def offers(option: str) -> bool:
    """True if the running command has the option, so that a message may name it; from Python, a parameter."""
    return not _running or option in _running[-1].options


def note_read(*paths: Name) -> None:
    """Register files that the running command reads, if one runs; see `Guard.reading`."""
    if _running:
        _running[-1].reading(*paths)


def check_output(path: Name, kind: Kind) -> None:
    """Ask the running command, if one runs, whether a file may be written; see `Guard.writing`."""
    if _running:
        _running[-1].writing(path, kind)


def check_readable(path: Name) -> None:
    """Raise MaskrtError for a pipe, a socket or a device, whose reading may never end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # no such thing; a name of zero bytes is no path
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise MaskrtError(f"{path}: no file but a pipe, a socket or a device. Copy what it gives to a file.")


def check_kind(path: Path, kind: Kind) -> None:
    """Raise MaskrtError where a file exists, is not empty, and is not of the kind."""
    try:
        if not path.is_file() or not path.stat().st_size or kind.is_kind_of(path):
            return
        found = what_it_is(path)
    except OSError as error:
        found = f"a file that cannot be read ({error.strerror})"
    raise MaskrtError(
        f"{path}: is there already, and is {found}, where {kind.name} would be written. Choose another "
        "output, or have it replaced: --overwrite"
    )


def _is_read(output: Path, source: Name) -> MaskrtError:
    also = "" if Path(source) == output else f" ({source})"
    return MaskrtError(
        f"{output}: is an input of this command{also}, and would be written over. Choose another output, or "
        "have it replaced: --overwrite"
    )


def _identity(path: Name) -> tuple[int, int] | None:
    """Key that is equal for equal files; None for anything but a file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a name of zero bytes is no path
        return None
    return None if stat.S_ISDIR(status.st_mode) else (status.st_dev, status.st_ino)
