"""Files of instances: COCO results and, if asked for, pictures of masks and outlines."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from maskrt.runtime.files.atomic import PendingFile, write_png
from maskrt.runtime.files.kinds import COCO_RESULTS
from maskrt.runtime.inputs.frames import Inferred
from maskrt.runtime.outputs.sinks import LineSink, Sink
from maskrt.runtime.outputs.tree import Layout, frame_id
from maskrt.runtime.tasks.style import Wanted
from maskrt.runtime.tasks.task import Files

PREDICTIONS, CONTOURS, MASKS = "predictions.json", "contours.jsonl", "masks"


class InstanceFiles(Files):
    """predictions.json; masks/ and contours.jsonl where they are wanted."""

    def __init__(self, wanted: Wanted) -> None:
        self.whole = {PREDICTIONS: COCO_RESULTS}
        self.folders = (MASKS,) if wanted.masks else ()
        self.growing = (CONTOURS,) if wanted.contours else ()

    def open(self, folder: Path, layout: Layout, ids: dict[str, int | str], opened: list[Sink]) -> None:
        """Put each sink into `opened`."""
        opened.append(CocoSink(folder / PREDICTIONS, ids))
        opened += [MaskSink(folder / name, layout) for name in self.folders]
        opened += [ContourSink(folder / name) for name in self.growing]


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


class MaskSink:
    """A folder per image, and in it a PNG per detection, 0 and 255, numbered as in results.jsonl."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self._folder, self._layout = folder, layout

    def add(self, item: Inferred) -> None:
        """Write one image's masks, one at a time."""
        folder = self._folder / self._layout.folder(item.frame)
        for index, crop in enumerate(item.result.crops or ()):
            full = np.zeros((item.result.height_px, item.result.width_px), np.uint8)
            h, w = crop.bits.shape
            full[crop.top : crop.top + h, crop.left : crop.left + w][crop.bits] = 255
            write_png(folder / f"{index:03d}.png", full)

    def close(self) -> None:
        """Nothing to finish: each mask is whole once added."""

    stop = close


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
