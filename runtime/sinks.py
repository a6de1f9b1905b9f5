"""Where results go: overlay images, a COCO results file, and a JSON line per image."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.draw import draw
from runtime.errors import MaskrtError
from runtime.files import atomic_path, write_text
from runtime.results import Result


class Sink(Protocol):
    """Takes results one by one; `close` finishes what it writes."""

    def add(self, path: Path, image: NDArray[np.uint8], result: Result) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB image atomically, in the format its suffix names."""
    done, data = cv2.imencode(path.suffix, image[:, :, ::-1])
    if not done:
        raise MaskrtError(f"{path}: OpenCV could not encode the {image.shape} image.")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


class OverlaySink:
    """One PNG per image under `folder`, laid out as the inputs are below their common parent."""

    def __init__(self, folder: Path, paths: list[Path]) -> None:
        self.folder = folder
        self.root = Path(os.path.commonpath([Path(os.path.abspath(p)).parent for p in paths]))
        stems = [self._relative(p).with_suffix("") for p in paths]
        self._by_stem = len(set(stems)) == len(stems)

    def _relative(self, path: Path) -> Path:
        return Path(os.path.abspath(path)).relative_to(self.root)

    def target(self, path: Path) -> Path:
        """Where the overlay of an input goes: its stem, or its whole name where any two share a stem."""
        relative = self._relative(path)
        return self.folder / f"{relative.with_suffix('') if self._by_stem else relative}.png"

    def add(self, path: Path, image: NDArray[np.uint8], result: Result) -> None:
        """Draw and write one image."""
        write_png(self.target(path), draw(image, result))

    def close(self) -> None:
        """Nothing to finish: every overlay is whole once added."""


def image_id(path: Path) -> int | str:
    """COCO's image id: the file's stem, as a number where it is one (000000000139.jpg is 139)."""
    return int(path.stem) if path.stem.isdecimal() else path.stem


def image_ids(paths: list[Path]) -> dict[Path, int | str]:
    """COCO's image ids of a batch: by `image_id`, or the paths themselves where two would share one."""
    ids = {path: image_id(path) for path in paths}
    return ids if len(set(ids.values())) == len(ids) else {path: str(path) for path in paths}


class CocoSink:
    """All detections as one COCO results file, written when closed."""

    def __init__(self, file: Path, ids: dict[Path, int | str]) -> None:
        self.file, self.ids = file, ids
        self.rows: list[dict[str, Any]] = []

    def add(self, path: Path, image: NDArray[np.uint8], result: Result) -> None:
        """Keep one image's detections."""
        self.rows += result.to_coco(self.ids[path])

    def close(self) -> None:
        """Write the file."""
        write_text(self.file, json.dumps(self.rows))


class JsonLinesSink:
    """One line per image: file, size and detections; complete lines at any moment."""

    def __init__(self, file: Path, ids: dict[Path, int | str]) -> None:
        self.ids = ids
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._stream = file.open("w", encoding="utf-8")
        except OSError as error:
            raise MaskrtError(
                f"{file}: cannot be written ({error.strerror}). Choose another output."
            ) from error

    def add(self, path: Path, image: NDArray[np.uint8], result: Result) -> None:
        """Write one line."""
        detections = [
            {**row, "name": name}
            for row, name in zip(result.to_coco(self.ids[path]), result.names, strict=True)
        ]
        line = {
            "file": str(path),
            "width_px": result.width_px,
            "height_px": result.height_px,
            "detections": detections,
        }
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
