"""Runs a generator in a background thread and buffers a bounded number of its items for the consumer.

A pipeline is a chain of such prefetchers: each step is a generator over the step before it, and steps
overlap. Order is kept, because a step is one thread. A step whose buffer is full waits (back-pressure), so
memory is bounded.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, Generic, TypeVar

T = TypeVar("T")
# A call into a camera's driver or a network may take longer; its daemon thread ends with the process.
CLOSING_S = 10.0


class Prefetcher(Generic[T]):
    """Iterates over a generator that runs in a background thread: `for item in Prefetcher(items, depth=2)`.

    An exception of the generator is raised in the consumer, in the place of the item that failed. After
    `stop` the iteration ends, and the generator's own `finally` runs in its thread.
    """

    def __init__(
        self,
        items: Generator[T, Any, Any],
        depth: int,
        *,
        name: str,
        droppable: Callable[[T], bool] | None = None,
    ) -> None:
        """Start the thread.

        depth: the most items that are buffered. droppable: true for items that may be discarded; where the
        buffer is full, the oldest of them makes room for the next item.
        """
        self._items, self._depth, self._droppable = items, depth, droppable
        self._ready: deque[T] = deque()
        self._changed = threading.Condition()
        self._stopped = self._finished = False
        self._failure: BaseException | None = None
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        item = self.next_within(None)
        assert item is not None, "without a time limit there is an item or an end"
        return item

    def next_within(self, seconds: float | None) -> T | None:
        """The next item, or None where none comes in time. Raises StopIteration after the last."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._ready or self._finished or self._stopped, seconds):
                return None
            if self._ready:
                item = self._ready.popleft()
                self._changed.notify_all()
                return item
        if self._failure is not None:
            raise self._failure
        raise StopIteration

    def stop(self) -> None:
        """Discard the buffered items and end the iteration, for a consumer that is waiting too."""
        with self._changed:
            self._stopped = True
            self._ready.clear()
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(seconds)

    def _work(self) -> None:
        try:
            with closing(self._items):
                for item in self._items:
                    if not self._put(item):
                        break
        except BaseException as error:  # raised again in the consumer
            self._failure = error
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _put(self, item: T) -> bool:
        """Buffer the item, once there is room. False after `stop`."""
        with self._changed:
            if len(self._ready) >= self._depth and self._droppable is not None:
                oldest = next((i for i, other in enumerate(self._ready) if self._droppable(other)), None)
                if oldest is not None:
                    del self._ready[oldest]
                    self.dropped += 1
            self._changed.wait_for(lambda: len(self._ready) < self._depth or self._stopped)
            if not self._stopped:
                self._ready.append(item)
                self._changed.notify_all()
            return not self._stopped


class PrefetchGroup:
    """Prefetchers that are stopped together."""

    def __init__(self) -> None:
        self._members: list[Prefetcher[Any]] = []
        self._closed = False

    def start(
        self,
        items: Generator[T, Any, Any],
        depth: int,
        name: str,
        droppable: Callable[[T], bool] | None = None,
    ) -> Prefetcher[T]:
        """Start a prefetcher in this group. In a group that was closed meanwhile it stops at once."""
        member = Prefetcher(items, depth, name=name, droppable=droppable)
        self._members.append(member)
        if self._closed:
            member.stop()
        return member

    def close(self) -> None:
        """Stop all members first, so that none waits for another, then wait for their threads to end."""
        self._closed = True
        for member in self._members:
            member.stop()
        deadline_s = time.monotonic() + CLOSING_S
        for member in self._members:
            member.join(max(deadline_s - time.monotonic(), 0))
