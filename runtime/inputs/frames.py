"""What goes through the pipeline: frames, and what was found in them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.tasks.instances.result import Result


@dataclass(frozen=True)
class Frame:
    """One picture: image (H, W, 3) uint8, RGB.

    name: its file (a zip's member as photos.zip/a.jpg) or its stream. Of a video also `index`, from 0;
    `time_ms` since its beginning; `fps`, as the video declares it. live: from a camera, which does not wait.
    """

    name: str
    image: NDArray[np.uint8]
    index: int | None = None
    time_ms: float = 0.0
    fps: float = 0.0
    live: bool = False


@dataclass(frozen=True)
class Skipped:
    """A picture, or a part of a video, that could not be had; the reason names it."""

    name: str
    reason: str


@dataclass(frozen=True)
class Inferred:
    """A frame, what was found in it, and pictures drawn of that, by kind ("overlays", "splash")."""

    frame: Frame
    result: Result
    pictures: dict[str, NDArray[np.uint8]]


class Source(Protocol):
    """A file or a stream. `frames` never raises for what it cannot read: it gives a Skipped."""

    @property
    def name(self) -> str:
        """As in its frames."""

    @property
    def live(self) -> bool:
        """Whether it goes on, looked at or not."""

    @property
    def still(self) -> bool:
        """Whether it is one picture, which may be decoded beside others."""

    @property
    def length(self) -> int | None:
        """Frames to come, as far as that is known beforehand."""

    def frames(self) -> Generator[Frame | Skipped, None, None]: ...  # noqa: D102
