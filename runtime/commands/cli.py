"""Lines and progress bars on stderr, for the person at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from maskrt.runtime.commands import terminal
from maskrt.runtime.commands.terminal import printable

T = TypeVar("T")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar on stderr, and the time left, or without a total the speed.

    Silent where stderr is no terminal.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = terminal.console(stderr=True)
    percentage_or_speed = TaskProgressColumn(show_speed=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        percentage_or_speed,
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield from progress.track(items, description=description, total=total)


def say(message: str) -> None:
    """Print a line on stderr; standard output is for --json."""
    print(printable(message), file=sys.stderr)
