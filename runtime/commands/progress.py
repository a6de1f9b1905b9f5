"""Progress bar over steps that each take about a known share of the time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

PARTS = 1000  # of the bar


@dataclass
class TimeLeft:
    """Estimates the time left from the share of the work that is done."""

    begun_s: float = field(default_factory=lambda: time.monotonic())
    whole_s: float | None = None  # None: nothing is done yet

    def done(self, share: float) -> None:
        """Record that a share of the work is done, 0 to 1."""
        if share > 0:
            self.whole_s = (time.monotonic() - self.begun_s) / share

    def __str__(self) -> str:
        if self.whole_s is None:
            return ""
        return f"about {max(self.whole_s - (time.monotonic() - self.begun_s), 0):.0f} s left"


class Steps:
    """A progress bar with the current step and the time left; `steps` opens one."""

    def __init__(self, shares: Mapping[str, float], console: Any) -> None:
        """shares: each step's share of the time, by name, in their order, in any unit."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        total = sum(shares.values())
        self._shares = {name: share / total for name, share in shares.items()}
        text, left = TextColumn("{task.description}"), TextColumn("{task.fields[left]}")
        # The bar must not capture what the work prints: that may be redirected.
        self.bar = Progress(
            text,
            BarColumn(),
            TimeElapsedColumn(),
            left,
            console=console,
            disable=not console.is_terminal,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._left = TimeLeft()
        self._task = self.bar.add_task("", total=PARTS, left=self._left)

    def begin(self, step: str) -> None:
        """Mark all steps before this one as done, and this one as current."""
        names = list(self._shares)
        done = sum(self._shares[name] for name in names[: names.index(step)])
        self._left.done(done)
        self.bar.update(self._task, description=step, completed=round(PARTS * done))


@contextmanager
def steps(shares: Mapping[str, float], console: Any = None) -> Iterator[Steps]:
    """Show a progress bar over steps on stderr, and remove it at the end; silent where stderr is no terminal.

    shares: each step's share of the time, by name, in their order. The first step shows no time left.
    """
    from rich.console import Console

    under_way = Steps(shares, console or Console(stderr=True))
    with under_way.bar:
        yield under_way
