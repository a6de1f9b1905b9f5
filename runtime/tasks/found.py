"""What every task's results have in common: enough for the runtime to pass them on and to count them."""

from __future__ import annotations

from typing import Protocol


class Found(Protocol):
    """What a model found in one image. `len` is how many things that were."""

    @property
    def height_px(self) -> int:
        """The image's."""

    @property
    def width_px(self) -> int:
        """The image's."""

    def __len__(self) -> int: ...
