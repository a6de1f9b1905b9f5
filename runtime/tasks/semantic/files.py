"""Files of class maps: label PNGs and, if asked for, the data set's own ids and a mask a class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.inputs.frames import Inferred
from maskrt.runtime.outputs.sinks import Sink
from maskrt.runtime.outputs.tree import Layout
from maskrt.runtime.tasks.semantic.label_png import write_ids, write_labels
from maskrt.runtime.tasks.semantic.result import SemanticResult
from maskrt.runtime.tasks.style import Wanted
from maskrt.runtime.tasks.task import Files

LABELS, IDS, MASKS = "labels", "ids", "masks"


class SemanticFiles(Files):
    """labels/, a PNG an image whose values are labels; where masks are wanted, ids/ and masks/ too."""

    def __init__(self, wanted: Wanted) -> None:
        self.whole = {}
        self.growing = ()
        self.folders = (LABELS, IDS, MASKS) if wanted.masks else (LABELS,)

    def open(self, folder: Path, layout: Layout, ids: dict[str, int | str], opened: list[Sink]) -> None:
        """Put each sink into `opened`."""
        opened += [MapSink(folder / name, layout, WRITERS[name]) for name in self.folders]


class MapSink:
    """What is written of each image's map, below a folder."""

    def __init__(self, folder: Path, layout: Layout, write: Callable[[Path, SemanticResult], None]) -> None:
        self._folder, self._layout, self._write = folder, layout, write

    def add(self, item: Inferred) -> None:
        """Write one image's."""
        self._write(self._folder / self._layout.folder(item.frame), item.result)

    def close(self) -> None:
        """Nothing to finish: each file is whole once added."""

    stop = close


def _labels(place: Path, result: SemanticResult) -> None:
    write_labels(place.with_name(f"{place.name}.png"), result.labels, len(result.classes))


def _ids(place: Path, result: SemanticResult) -> None:
    write_ids(place.with_name(f"{place.name}.png"), result.labels, result.classes)


def _masks(place: Path, result: SemanticResult) -> None:
    """A PNG per class found, 0 and 255, numbered by label."""
    for one in result.found:
        mask = np.where(result.labels == one.label, np.uint8(255), np.uint8(0))
        write_png(place / f"{one.label:03d}.png", mask)


WRITERS = {LABELS: _labels, IDS: _ids, MASKS: _masks}
