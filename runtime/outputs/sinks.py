"""Where results go: what a sink is, and those that write a JSON line per image."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.atomic import check_stream
from maskrt.runtime.files.kinds import LINES
from maskrt.runtime.inputs.frames import Inferred
from maskrt.runtime.outputs.tree import frame_id

#: What a line says of a result, by its image id.
Record = Callable[[Any, int | str], dict[str, Any]]


class Sink(Protocol):
    """Takes results one by one, in order. Either `close` or `stop` is called once, at the end."""

    def add(self, item: Inferred) -> None: ...  # noqa: D102

    def close(self) -> None:
        """Finish what was written: nothing is missing."""

    def stop(self) -> None:
        """Finish what can stand alone, and remove what would pass for all there was to come."""


class LineSink:
    """One JSON line per image in a file; complete lines at any moment."""

    def __init__(self, file: Path) -> None:
        self._path = file
        check_stream(file, LINES)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._stream = file.open("wb", buffering=0)  # a line is one write: whole, or refused
        except OSError as error:
            raise MaskrtError(
                f"{file}: cannot be written ({error.strerror}). Choose another output."
            ) from error

    def add(self, item: Inferred) -> None:
        """Write one line."""
        line = (json.dumps(self.line(item)) + "\n").encode("ascii")
        before = self._stream.tell()
        try:
            written = self._stream.write(line)
            if written != len(line):  # the disk was full in the midst of it; the next write would say so
                os.truncate(self._path, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise MaskrtError(
                f"{self._path}: could not be written ({error.strerror}). Free some space there."
            ) from error

    def line(self, item: Inferred) -> dict[str, Any]:
        """What the line says: the image here, and what else in the classes below."""
        frame, result = item.frame, item.result
        line: dict[str, Any] = {"file": frame.name}
        if frame.index is not None:
            line |= {"frame": frame.index, "time_ms": round(frame.time_ms, 3)}
        return line | {"width_px": result.width_px, "height_px": result.height_px}

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    stop = close


class RecordSink(LineSink):
    """Writes results: file, frame, size, and what the task records."""

    def __init__(self, file: Path, ids: dict[str, int | str], record: Record) -> None:
        """record: `Task.record`, of a result and its image id."""
        super().__init__(file)
        self._ids, self._record = ids, record

    def line(self, item: Inferred) -> dict[str, Any]:
        """File, frame, size, and the record."""
        return super().line(item) | self._record(item.result, frame_id(self._ids, item.frame))
