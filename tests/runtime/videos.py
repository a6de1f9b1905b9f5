"""Small videos, made by OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

FPS = 12.5


def write_video(path: Path, pictures: list[np.ndarray], codec: str = "MJPG") -> Path:
    """RGB pictures as a video; motion JPEG keeps each frame by itself."""
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), FPS, (width, height))
    assert writer.isOpened()
    for picture in pictures:
        writer.write(picture[:, :, ::-1])
    writer.release()
    return path


def read_video(path: Path) -> tuple[list[np.ndarray], float]:
    """Its frames, RGB, and its frames a second."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        done, frame = capture.read()
        if not done:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(frame[:, :, ::-1])


def moving(picture: np.ndarray, count: int) -> list[np.ndarray]:
    """The picture, each frame 2 px further to the left; frame 3 is black."""
    frames = [np.roll(picture, -2 * i, axis=1) for i in range(count)]
    if count > 3:
        frames[3] = np.zeros_like(picture)
    return frames
