"""Batches of images that share a canvas, so that each is computed as it would be alone.

Padding is part of what a network sees: an image on a canvas larger than its own gives other results. So a
bucket is one canvas size, and no pixel is padded in vain.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")
MOST_WAITING = 4  # batches' worth of items, in all buckets together


class Batcher(Generic[T]):
    """Gathers items by canvas size until a batch is full."""

    def __init__(self, size: int) -> None:
        """size: items a batch."""
        self.size = size
        self._buckets: dict[tuple[int, int], list[T]] = {}  # in the order of their first items

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def add(self, canvas: tuple[int, int], item: T) -> list[T] | None:
        """A batch, where the item filled one or too many wait; (height, width) is the item's canvas."""
        bucket = self._buckets.setdefault(canvas, [])
        bucket.append(item)
        if len(bucket) == self.size:
            return self._buckets.pop(canvas)
        return self.oldest() if len(self) >= MOST_WAITING * self.size else None

    def oldest(self) -> list[T] | None:
        """The bucket that has waited longest, full or not; None where nothing waits."""
        return self._buckets.pop(next(iter(self._buckets))) if self._buckets else None
