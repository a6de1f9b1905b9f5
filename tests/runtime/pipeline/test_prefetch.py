from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from maskrt.runtime.pipeline.prefetch import PrefetchGroup

SOON_S = 5.0


def counting(made: list[int], end: int = 1000) -> Iterator[int]:
    for i in range(end):
        made.append(i)
        yield i


def made_at_rest(made: list[int]) -> int:
    """The number of items made, once the generator waits."""
    before = -1
    while before != len(made):
        before = len(made)
        time.sleep(0.1)
    return before


def test_items_come_in_order_and_end() -> None:
    with closing(PrefetchGroup()) as group:
        assert list(group.start(counting([], 50), 3, "a")) == list(range(50))


def test_the_maker_waits_for_the_taker() -> None:
    made: list[int] = []
    with closing(PrefetchGroup()) as group:
        items = group.start(counting(made), 3, "a")
        assert made_at_rest(made) == 3 + 1, "three wait, and one is in hand"
        next(items)
        assert made_at_rest(made) == 3 + 2


def test_stages_overlap() -> None:
    """Each waits for the other's next step, which one thread alone could not take."""
    barrier = threading.Barrier(2, timeout=SOON_S)

    def first() -> Iterator[int]:
        for i in range(5):
            if i:
                barrier.wait()
            yield i

    with closing(PrefetchGroup()) as group:
        for i in group.start(first(), 2, "a"):
            if i < 4:
                barrier.wait()


def test_an_error_comes_where_its_item_would_have() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise MemoryError("no room")

    with closing(PrefetchGroup()) as group:
        items = group.start(failing(), 5, "a")
        assert next(items) == 1
        with pytest.raises(MemoryError, match="no room"):
            next(items)


def test_closing_ends_every_thread_and_runs_every_finally() -> None:
    ended: list[str] = []

    def endless(name: str, source: Iterator[int]) -> Iterator[int]:
        try:
            yield from source
        finally:
            ended.append(name)

    group = PrefetchGroup()
    first = group.start(endless("first", counting([], 10**9)), 2, "first")
    second = group.start(endless("second", first), 2, "second")
    next(second)
    group.close()

    assert sorted(ended) == ["first", "second"]
    assert not {"first", "second"} & {thread.name for thread in threading.enumerate()}


def test_a_prefetcher_started_after_the_end_stops_too() -> None:
    """A stage that starts others may be about to, while the group is closed."""
    group = PrefetchGroup()
    group.close()

    late = group.start(counting([], 10**9), 2, "late")

    late.join(SOON_S)
    assert "late" not in {thread.name for thread in threading.enumerate()}


def test_a_waiting_consumer_gets_the_end() -> None:
    forever = threading.Event()

    def silent() -> Iterator[int]:
        forever.wait(SOON_S)
        yield 1

    group = PrefetchGroup()
    items = group.start(silent(), 1, "a")
    took: list[list[int]] = []
    taker = threading.Thread(target=lambda: took.append(list(items)))
    taker.start()
    for thread in (threading.Thread(target=group.close), threading.Timer(0.2, forever.set)):
        thread.start()
    taker.join(SOON_S)

    assert took == [[]]


def test_it_waits_no_longer_than_its_time_limit() -> None:
    forever = threading.Event()

    def silent() -> Iterator[int]:
        forever.wait(SOON_S)
        yield 1

    with closing(PrefetchGroup()) as group:
        items = group.start(silent(), 1, "a")
        assert items.next_within(0.05) is None
        forever.set()
        assert items.next_within(SOON_S) == 1


def test_the_oldest_gives_way_where_it_may() -> None:
    made: list[int] = []
    with closing(PrefetchGroup()) as group:
        items = group.start(counting(made, 100), 3, "a", lambda i: i % 40 != 0)
        assert made_at_rest(made) == 82, "0, 40 and 80 stay, and 81 finds no place"
        assert next(items) == 0
        assert made_at_rest(made) == 100
        assert list(items) == [40, 80, 99]
        assert items.dropped == 100 - 4
