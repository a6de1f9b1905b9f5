"""The protocol that every task's results follow, so that the runtime can pass them on and count them."""

from __future__ import annotations

from typing import Protocol


class Found(Protocol):
    """The result of one image. `len` is the number of things found."""

    @property
    def height_px(self) -> int:
        """The image's."""

    @property
    def width_px(self) -> int:
        """The image's."""

    def __len__(self) -> int: ...
