"""Where pictures of results go: a file each, or a video."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.commands.cli import say
from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.atomic import PendingFile, write_png
from maskrt.runtime.files.kinds import VIDEO
from maskrt.runtime.inputs.frames import Inferred
from maskrt.runtime.outputs.tree import Layout

# By suffix: what every OpenCV can write, and counts the frames of.
CODECS = {**dict.fromkeys((".mp4", ".m4v", ".mov", ".mkv"), "mp4v"), ".avi": "MJPG"}
# A stream that does not know its frame rate declares 0, or the ticks of its clock: 90000 (RFC 3551, 4.4).
LIKELY_FPS = (0.1, 1000.0)
UNKNOWN_FPS = 25.0


class VideoWriter:
    """A video of the frame rate and size of its first frame, under a temporary name until closed.

    Later frames of another size are scaled, since a video has one; so has OpenCV's writer even sides alone,
    and leaves out the last row or column of others.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        """fps: frames a second, as declared. size: (height, width) in px. Raises MaskrtError."""
        self._path, self._size, self._count, self._scaled = path, size, 0, 0
        self._file = PendingFile(path, VIDEO)
        codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
        rate = fps if LIKELY_FPS[0] <= fps <= LIKELY_FPS[1] else UNKNOWN_FPS
        self._writer = cv2.VideoWriter(str(self._file.temporary), codec, rate, size[::-1])
        if not self._writer.isOpened():
            self._file.discard()
            raise MaskrtError(
                f"{path}: OpenCV cannot write a video of {size[1]}x{size[0]} px there. See that there is "
                "space, or name it .avi."
            )

    def add(self, image: NDArray[np.uint8]) -> None:
        """Append an RGB picture."""
        if image.shape[:2] != self._size:
            self._scaled += 1
            image = np.asarray(cv2.resize(image, self._size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self._count += 1

    def close(self) -> None:
        """Finish the video, look whether it can be read, and give it its name."""
        self._writer.release()
        # OpenCV does not tell when a write fails, as on a full disk.
        reader = cv2.VideoCapture(str(self._file.temporary))
        count = int(reader.get(cv2.CAP_PROP_FRAME_COUNT)) if reader.isOpened() else 0
        reader.release()
        if count < self._count:
            self._file.discard()
            raise MaskrtError(
                f"{self._path}: could not be written ({count} of {self._count} frames arrived). "
                "Free some space there."
            )
        self._file.keep()
        if self._scaled:
            say(f"{self._path}: {self._scaled} frames are of another size than the first, and scaled to it")
        if self._size[0] % 2 or self._size[1] % 2:
            say(f"{self._path}: a video's sides are even, so the last row or column of px is left out")


class PictureSink:
    """The pictures of one kind: a PNG per image, and a video per video."""

    def __init__(self, kind: str, folder: Path, layout: Layout, *, video: Path | None = None) -> None:
        """kind: of Inferred.pictures. video: where the only input's video goes, else into the layout."""
        self._kind, self._folder, self._layout, self._video = kind, folder, layout, video
        self._name: str | None = None  # of the video being written
        self._writer: VideoWriter | None = None

    def add(self, item: Inferred) -> None:
        """Write one picture, as a file or a frame."""
        frame, picture = item.frame, item.pictures[self._kind]
        if self._name != frame.name:
            self.close()
        if frame.index is None:
            write_png(self._folder / self._layout.file(frame.name, ".png"), picture)
            return
        if self._writer is None:
            path = self._video or self._folder / self._layout.file(frame.name, ".mp4")
            self._writer = VideoWriter(path, frame.fps, (picture.shape[0], picture.shape[1]))
            self._name = frame.name
        self._writer.add(picture)

    def close(self) -> None:
        """Finish the video that is being written."""
        writer, self._writer, self._name = self._writer, None, None
        if writer is not None:
            writer.close()

    stop = close  # a video up to the last frame can be watched
