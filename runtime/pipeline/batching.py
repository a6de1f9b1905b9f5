"""Groups images that share a canvas into batches, so that each is computed as it would be alone.

Padding is part of a network's input: an image on a canvas larger than its own gives other results. So a
bucket holds one canvas size, and no pixel is padded in vain.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")
MOST_WAITING = 4  # batches' worth of items, in all buckets together


class Batcher(Generic[T]):
    """Gathers items by canvas size until a batch is full."""

    def __init__(self, size: int) -> None:
        """size: items in a full batch."""
        self.size = size
        self._buckets: dict[tuple[int, int], list[T]] = {}  # in the order of their first items

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def add(self, canvas: tuple[int, int], item: T) -> list[T] | None:
        """Add an item; returns a batch where the item filled one, or too many items wait.

        canvas: (height, width) of the item's canvas, in px.
        """
        bucket = self._buckets.setdefault(canvas, [])
        bucket.append(item)
        if len(bucket) == self.size:
            return self._buckets.pop(canvas)
        return self.oldest() if len(self) >= MOST_WAITING * self.size else None

    def oldest(self) -> list[T] | None:
        """Take the bucket that has waited longest, full or not; None where nothing waits."""
        return self._buckets.pop(next(iter(self._buckets))) if self._buckets else None
