"""Where results go, as text: a COCO results file, a JSON line per image, contours."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.atomic import PendingFile, check_stream
from maskrt.runtime.files.kinds import COCO_RESULTS, LINES
from maskrt.runtime.inputs.frames import Inferred
from maskrt.runtime.outputs.tree import frame_id


class Sink(Protocol):
    """Takes results one by one, in order. Either `close` or `stop` is called once, at the end."""

    def add(self, item: Inferred) -> None: ...  # noqa: D102

    def close(self) -> None:
        """Finish what was written: nothing is missing."""

    def stop(self) -> None:
        """Finish what can stand alone, and remove what would pass for all there was to come."""


class CocoSink:
    """All detections as one COCO results file, which gets its name when closed."""

    def __init__(self, file: Path, ids: dict[str, int | str]) -> None:
        """ids: of all inputs, by name. The file of an earlier run goes: it would pass for this one's."""
        self._file, self._ids = PendingFile(file, COCO_RESULTS), ids
        file.unlink(missing_ok=True)
        self._stream = self._file.temporary.open("w", encoding="utf-8")
        self._between = "["

    def add(self, item: Inferred) -> None:
        """Write one image's detections."""
        try:
            for row in item.result.to_coco(frame_id(self._ids, item.frame)):
                self._stream.write(self._between + json.dumps(row))
                self._between = ", "
        except OSError as error:
            raise self._file.failed(error) from error

    def close(self) -> None:
        """Give the file its name."""
        try:
            self._stream.write("]" if self._between == ", " else "[]")
            self._stream.close()
        except OSError as error:
            raise self._file.failed(error) from error
        self._file.keep()

    def stop(self) -> None:
        """Leave no file: one with some of the images would pass for one with all."""
        with suppress(OSError):  # of a full disk, where what is left to write does not fit either
            self._stream.close()
        self._file.discard()


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


class JsonLinesSink(LineSink):
    """Detections: COCO rows with the class's name."""

    def __init__(self, file: Path, ids: dict[str, int | str]) -> None:
        super().__init__(file)
        self._ids = ids

    def line(self, item: Inferred) -> dict[str, Any]:
        """File, frame, size, and `detections`."""
        return super().line(item) | item.result.to_line(frame_id(self._ids, item.frame))


class ContourSink(LineSink):
    """Outlines: for each detection its polygons, [x1, y1, x2, y2, …] in px, holes left out."""

    def line(self, item: Inferred) -> dict[str, Any]:
        """File, frame, size, and `objects`."""
        result = item.result
        objects = [
            {"name": one.name, "score": one.score, "polygons": [p.ravel().tolist() for p in one.polygons()]}
            for one in result
        ]
        return super().line(item) | {"objects": objects}
