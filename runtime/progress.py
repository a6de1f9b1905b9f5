"""Progress of work that is no loop: steps of which each takes about a known share of the time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

PARTS = 1000  # of the bar


@dataclass
class TimeLeft:
    """What is left of work that began now, at the pace of the part that was done when last looked."""

    begun_s: float = field(default_factory=lambda: time.monotonic())
    whole_s: float | None = None  # None: nothing was done yet by which to judge

    def done(self, share: float) -> None:
        """So much of the work is done, 0 to 1."""
        if share > 0:
            self.whole_s = (time.monotonic() - self.begun_s) / share

    def __str__(self) -> str:
        if self.whole_s is None:
            return ""
        return f"about {max(self.whole_s - (time.monotonic() - self.begun_s), 0):.0f} s left"


class Steps:
    """A bar with the step under way and the time left; `steps` opens one."""

    def __init__(self, shares: Mapping[str, float], console: Any) -> None:
        """shares: of the whole time, by the steps' names, in their order, in any unit."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        total = sum(shares.values())
        self._shares = {name: share / total for name, share in shares.items()}
        text, left = TextColumn("{task.description}"), TextColumn("{task.fields[left]}")
        # What the work prints is not the bar's: it may be redirected while the bar is shown.
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
        """This step is under way, and all before it are done."""
        names = list(self._shares)
        done = sum(self._shares[name] for name in names[: names.index(step)])
        self._left.done(done)
        self.bar.update(self._task, description=step, completed=round(PARTS * done))


@contextmanager
def steps(shares: Mapping[str, float], console: Any = None) -> Iterator[Steps]:
    """A bar over steps, on stderr, that goes away at the end; silent where stderr is no terminal.

    shares: of the whole time, by the steps' names, in their order. The time left is known once one is done.
    """
    from rich.console import Console

    under_way = Steps(shares, console or Console(stderr=True))
    with under_way.bar:
        yield under_way
