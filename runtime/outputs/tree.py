"""Where the results of an input go below an output folder."""

from __future__ import annotations

import os
from pathlib import Path

from maskrt.runtime.inputs.buckets import is_bucket, path_of
from maskrt.runtime.inputs.frames import Frame
from maskrt.runtime.inputs.video import is_live


class Layout:
    """Lays outputs out as the inputs are below their common parent; streams are stream0, stream1, …"""

    def __init__(self, names: list[str]) -> None:
        """names: of all inputs, none twice."""
        files = {
            name: Path(path_of(name) if is_bucket(name) else os.path.abspath(name))
            for name in names
            if is_bucket(name) or not (is_live(name) or "://" in name)
        }
        streams = [name for name in names if name not in files]
        root = Path(os.path.commonpath([file.parent for file in files.values()])) if files else Path()
        self._places = {name: Path(f"stream{i}") for i, name in enumerate(streams)}
        self._places |= {name: file.relative_to(root) for name, file in files.items()}
        stems = {self._stem(place) for place in self._places.values()}
        self._by_stem = len(stems) == len(self._places)

    @staticmethod
    def _stem(place: Path) -> Path:
        return place.with_suffix("")

    def place(self, name: str) -> Path:
        """Of an input: its stem, or its whole name where any two share a stem."""
        place = self._places[name]
        return self._stem(place) if self._by_stem else place

    def file(self, name: str, suffix: str) -> Path:
        """The input's place with a suffix of ours."""
        return Path(f"{self.place(name)}{suffix}")

    def folder(self, frame: Frame) -> Path:
        """A folder for the frame alone; a video's frames are numbered."""
        place = self.place(frame.name)
        return place if frame.index is None else place / f"{frame.index:06d}"


def image_id(name: str | os.PathLike[str]) -> int | str:
    """COCO's image id: the file's stem, as a number where it is one (000000000139.jpg is 139)."""
    stem = Path(name).stem
    return int(stem) if stem.isdecimal() else stem


def image_ids(names: list[str]) -> dict[str, int | str]:
    """COCO's image ids of a batch: by `image_id`, or the names themselves where two would share one."""
    ids = {name: image_id(name) for name in names}
    return ids if len(set(ids.values())) == len(ids) else {name: name for name in names}


def frame_id(ids: dict[str, int | str], frame: Frame) -> int | str:
    """COCO's image id of a frame: its image's, or `VIDEO#INDEX`."""
    return ids[frame.name] if frame.index is None else f"{ids[frame.name]}#{frame.index}"
