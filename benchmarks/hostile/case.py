"""Hostile input: a command line for a verb, and the files made for it in its own folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Make = Callable[[Path], None]
REFUSED, RIGHT, EITHER = "refused", "right", "either"  # what is expected: see Case


@dataclass(frozen=True)
class Case:
    """One run of one verb.

    line: the verb and its arguments; names are of files in the case's folder, which is the working one.
    make: writes what the case needs into its folder, beside the shared files (benchmarks/hostile/shared.py).
    expected: "refused": a sentence and an exit code other than 0; "right": exit code 0; "either" of the two,
    where a sensible program may do both. stdin, stdout: "null", "closed", "full" (a full disk), "broken" (a
    pipe that nobody reads), or "file".
    """

    kind: str
    name: str
    line: tuple[str, ...]
    make: Make | None = None
    expected: str = REFUSED
    stdin: str = "null"
    stdout: str = "file"

    @property
    def verb(self) -> str:
        """The verb that is run."""
        return self.line[0]


def cases(kind: str, rows: Iterable[tuple[Any, ...]]) -> list[Case]:
    """Of a table: the line as words, what makes its files, and what is expected if not a refusal."""
    made = []
    for number, (line, make, *expected) in enumerate(rows):
        words = tuple(line) if isinstance(line, (list, tuple)) else tuple(line.split())
        made.append(Case(kind, f"{number}", words, make, *expected))
    return made


def wrote(name: str, content: bytes | str | dict[str, Any] | list[Any]) -> Make:
    """A file of these bytes, this text, or this as JSON."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else None
        if data is None:
            text = content if isinstance(content, str) else json.dumps(content)
            data = text.encode("utf-8", "surrogatepass")
        path.unlink(missing_ok=True)  # it may be a link of a shared file
        path.write_bytes(data)

    return make


def cut(name: str, to: str, end: int | float) -> Make:
    """The head of a shared file under another name: so many bytes, or that fraction; negative: all but."""

    def make(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / to).write_bytes(data[: int(end * len(data)) if isinstance(end, float) else end])

    return make


def flipped(name: str, to: str, at: float, count: int = 64) -> Make:
    """A shared file with a run of bytes inverted, from a fraction of its length on."""

    def make(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        start = int(at * len(data))
        data[start : start + count] = bytes(255 - byte for byte in data[start : start + count])
        (folder / to).write_bytes(data)

    return make


def both(*makes: Make) -> Make:
    """One after the other."""

    def make(folder: Path) -> None:
        for each in makes:
            each(folder)

    return make
