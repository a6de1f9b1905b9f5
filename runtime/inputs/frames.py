"""Types that pass through the pipeline: frames, and the results of frames."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """Frame of a source: image (H, W, 3) uint8, RGB.

    name: its file (a zip's member as photos.zip/a.jpg) or its stream. Frames of a video have `index`, from 0;
    `time_ms` since the beginning; `fps`, as the video declares it. live: from a camera, which does not wait
    for its consumer.
    """

    name: str
    image: NDArray[np.uint8]
    index: int | None = None
    time_ms: float = 0.0
    fps: float = 0.0
    live: bool = False


@dataclass(frozen=True)
class Skipped:
    """Picture, or part of a video, that could not be read; the reason names it."""

    name: str
    reason: str


@dataclass(frozen=True)
class Inferred:
    """Frame with its result, and the pictures drawn of that, by kind ("overlays", "splash").

    result: of the model's task, at least a maskrt.runtime.tasks.found.Found.
    """

    frame: Frame
    result: Any
    pictures: dict[str, NDArray[np.uint8]]


class Source(Protocol):
    """File or stream that gives frames. `frames` never raises for unreadable content: it yields a Skipped."""

    @property
    def name(self) -> str:
        """Name of its frames."""

    @property
    def live(self) -> bool:
        """True if it produces frames whether they are read or not, as a camera does."""

    @property
    def still(self) -> bool:
        """True if it is a single picture, which may be decoded in parallel with others."""

    @property
    def length(self) -> int | None:
        """Number of frames, as far as it is known beforehand."""

    def frames(self) -> Generator[Frame | Skipped, None, None]: ...  # noqa: D102
