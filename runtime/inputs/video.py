"""Reads frames of video files, cameras and network streams through OpenCV."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.errors import ImageError
from maskrt.runtime.inputs.csi import csi_pipeline, is_csi
from maskrt.runtime.inputs.frames import Frame, Skipped
from maskrt.runtime.inputs.images import MAX_PIXELS, check_pixels

# FFmpeg's words go to stderr, past all of ours; what they are about is counted here.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
COUNTED_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi")  # of containers that count their frames
VIDEO_SUFFIXES = (*COUNTED_SUFFIXES, ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mjpeg", ".wmv")
MOST_DAMAGED = 100  # frames in a row that cannot be decoded, before the rest counts as cut off
RECONNECTIONS = 5  # in a row without a frame, before a stream counts as gone
RECONNECT_AFTER_S = 1.0


def is_video(text: str) -> bool:
    """True if an input is a video file, local or behind a URL, by its suffix."""
    return Path(text).suffix.lower() in VIDEO_SUFFIXES and not _is_gstreamer(text)


def is_live(text: str) -> bool:
    """True if an input is a camera (0, csi://0), a URL (rtsp://…), or a GStreamer pipeline (… ! appsink)."""
    number = text.isdecimal() and not Path(text).exists()
    return number or ("://" in text and not is_video(text)) or _is_gstreamer(text)


def _is_gstreamer(text: str) -> bool:
    return " ! " in text


class VideoFile:
    """Source of a video's frames, in order."""

    still = live = False

    def __init__(self, name: str, *, max_pixels: int = MAX_PIXELS) -> None:
        self.name, self._max_pixels = name, max_pixels

    @property
    def length(self) -> int | None:
        """Number of frames that a local file declares; over a network it would have to be waited for."""
        if "://" in self.name:
            return None
        capture = cv2.VideoCapture(self.name)
        declared = self._declared(capture)
        capture.release()
        return declared or None

    def _declared(self, capture: cv2.VideoCapture) -> int:
        """Containers without a count have one guessed from the duration, which is no promise: 0."""
        counted = capture.isOpened() and Path(self.name).suffix.lower() in COUNTED_SUFFIXES
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if counted else 0

    def frames(self) -> Generator[Frame | Skipped, None, None]:
        """Yields frames, and a Skipped where the file cannot be opened, is empty, or ends before the declared
        count."""
        capture = cv2.VideoCapture(self.name)
        try:
            reason = self._unusable(capture)
            if reason:
                yield Skipped(self.name, reason)
                return
            declared = self._declared(capture)
            fps, index, count, failures = capture.get(cv2.CAP_PROP_FPS), 0, 0, 0
            while failures <= MOST_DAMAGED:
                image = _read(capture)
                if image is not None:
                    time_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
                    yield Frame(self.name, image, index=index, time_ms=time_ms, fps=fps)
                    count, failures = count + 1, 0
                elif index >= declared:
                    break
                else:
                    failures += 1
                index += 1
        finally:
            capture.release()
        if count == 0:
            yield Skipped(self.name, f"{self.name}: a video without a frame. Copy the file again.")
        elif count < declared:
            yield Skipped(
                self.name,
                f"{self.name}: {declared - count} of its {declared} frames are damaged or cut off. "
                "Copy the file again.",
            )

    def _unusable(self, capture: cv2.VideoCapture) -> str:
        if not capture.isOpened():
            if "://" in self.name:
                return f"{self.name}: cannot be reached, or not a video that can be decoded. Copy it here."
            if not Path(self.name).is_file():
                return f"{self.name}: no such file."
            return f"{self.name}: not a video that can be decoded, or cut off. Copy the file again."
        size = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        try:
            check_pixels(self.name, size, self._max_pixels)
        except ImageError as error:
            return str(error)
        return ""


class LiveStream:
    """Source of a camera (0, csi://0), a network stream by URL, or a GStreamer pipeline, until it ends for
    good."""

    still, live, length = False, True, None

    def __init__(self, text: str) -> None:
        """Raises ImageError for a CSI camera that is written in another form (runtime/inputs/csi.py)."""
        self.name = text
        self._pipeline = csi_pipeline(text) if is_csi(text) else text if _is_gstreamer(text) else None

    def frames(self) -> Generator[Frame | Skipped, None, None]:
        """Yields frames, a Skipped each time the stream broke off, and one where it did not come back."""
        start, count, failures = time.monotonic(), 0, 0
        while failures <= RECONNECTIONS:
            capture = self._open()
            before = count
            try:
                fps = capture.get(cv2.CAP_PROP_FPS)
                while capture.isOpened() and (image := _read(capture)) is not None:
                    time_ms = (time.monotonic() - start) * 1e3
                    yield Frame(self.name, image, index=count, time_ms=time_ms, fps=fps, live=True)
                    count += 1
            finally:
                capture.release()
            if count > before:
                failures = 0
                yield Skipped(self.name, f"{self.name}: broke off after {count} frames; connecting again.")
            failures += 1
            if failures <= RECONNECTIONS:
                time.sleep(RECONNECT_AFTER_S)
        yield Skipped(
            self.name,
            f"{self.name}: gone after {count} frames; {RECONNECTIONS} attempts to connect again failed."
            if count
            else f"{self.name}: cannot be opened. {self._advice()}",
        )

    def _advice(self) -> str:
        if self._pipeline and not _has_gstreamer():
            return (
                f"It is for GStreamer, and this OpenCV ({cv2.__file__}) was built without, as all wheels of "
                "pip are: on a Jetson take JetPack's (docs/jetson.md)."
            )
        return (
            "Is it there, and is this OpenCV built with its backend? "
            'python -c "import cv2; print(cv2.getBuildInformation())"'
        )

    def _open(self) -> cv2.VideoCapture:
        if self.name.isdecimal():
            return cv2.VideoCapture(int(self.name))
        if self._pipeline:
            return cv2.VideoCapture(self._pipeline, cv2.CAP_GSTREAMER)
        return cv2.VideoCapture(self.name)


def _has_gstreamer() -> bool:
    return bool(cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER))


def _read(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    """Read the next frame as RGB, or None at the end."""
    done, image = capture.read()
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8) if done else None
