"""An iterator that runs in a thread of its own, a bounded number of items ahead of who takes them.

What a pipeline is made of: each stage is a generator over the stage before it, and `Ahead` lets them overlap.
Order is kept, since a stage is one thread. A full stage waits, so nothing piles up before a slow one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, Generic, TypeVar

T = TypeVar("T")
CLOSING_S = (
    10.0  # a call into a camera's driver or a network may outlast it; its thread dies with the process
)


class Ahead(Generic[T]):
    """`for item in Ahead(generator(), depth=2)`: the generator's items, made in another thread.

    An exception of the generator is raised where its item would have come. Once stopped there are no items
    left, and the generator's own `finally` is run in its thread.
    """

    def __init__(
        self,
        items: Generator[T, Any, Any],
        depth: int,
        *,
        name: str,
        droppable: Callable[[T], bool] | None = None,
    ) -> None:
        """depth: items made and not yet taken, at most.

        droppable: of which items the oldest gives way when the next comes and there is no room.
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
        """Drop what nobody took, and make no more; whoever waits here is told that this is the end."""
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
        except BaseException as error:  # raised where the items are taken
            self._failure = error
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _put(self, item: T) -> bool:
        """Whether the item is still wanted."""
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


class Crew:
    """Iterators that run ahead, and stop together."""

    def __init__(self) -> None:
        self._members: list[Ahead[Any]] = []
        self._closed = False

    def start(
        self,
        items: Generator[T, Any, Any],
        depth: int,
        name: str,
        droppable: Callable[[T], bool] | None = None,
    ) -> Ahead[T]:
        """See Ahead. Once the crew is closed, as by another thread, it stops at once."""
        member = Ahead(items, depth, name=name, droppable=droppable)
        self._members.append(member)
        if self._closed:
            member.stop()
        return member

    def close(self) -> None:
        """Stop all, so that none waits for another, and wait until their threads have ended."""
        self._closed = True
        for member in self._members:
            member.stop()
        deadline_s = time.monotonic() + CLOSING_S
        for member in self._members:
            member.join(max(deadline_s - time.monotonic(), 0))
