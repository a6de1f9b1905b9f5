"""The bar over steps: what is under way, and how long it goes on."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from maskrt.runtime.commands import progress
from maskrt.runtime.commands.progress import steps

SHARES = {"Reading": 1.0, "Working": 3.0, "Writing": 1.0}


class Clock:
    """Time that goes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def shown(clock: Clock, *events: str | float, terminal: bool = True) -> str:
    """What is on the screen after steps that begin and seconds that go by."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)
    with steps(SHARES, console) as under_way:
        for event in events:
            if isinstance(event, str):
                under_way.begin(event)
            else:
                clock.now_s += event
        with console.capture() as screen:
            if terminal:
                under_way.bar.refresh()
    return screen.get()


def test_the_step_under_way_is_named(clock: Clock) -> None:
    assert "Reading" in shown(clock, "Reading")
    assert "left" not in shown(clock, "Reading", 5.0), "nothing is done by which to judge"


def test_the_time_left_follows_from_the_steps_that_are_done(clock: Clock) -> None:
    assert "Working" in shown(clock, "Reading", 5.0, "Working")
    assert "about 20 s left" in shown(clock, "Reading", 5.0, "Working")
    assert "about 14 s left" in shown(clock, "Reading", 5.0, "Working", 6.0)
    assert "about 0 s left" in shown(clock, "Reading", 5.0, "Working", 600.0), "never less than none"
    assert "about 10 s left" in shown(clock, "Reading", 5.0, "Working", 35.0, "Writing")


def test_a_step_that_is_left_out_counts_as_done(clock: Clock) -> None:
    assert "about 1 s left" in shown(clock, 4.0, "Writing")


def test_nothing_is_shown_where_nobody_looks(clock: Clock) -> None:
    assert shown(clock, "Reading", 5.0, "Working", terminal=False) == ""
