"""What the commands share in speaking to the person at the terminal: lines, progress, checks of numbers."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, TypeVar

import typer

from maskrt.runtime import terminal
from maskrt.runtime.terminal import printable

T = TypeVar("T")


def between(low: float, high: float = math.inf) -> Callable[[float], float]:
    """A callback for an option that takes a number from `low` to `high`; NaN and infinity are none."""

    def check(value: float) -> float:
        if not (math.isfinite(value) and low <= value <= high):
            most = f" to {high:g}" if math.isfinite(high) else " on"
            raise typer.BadParameter(f"{value:g} is not a number from {low:g}{most}.")
        return value

    return check


MOST_THREADS = 1024  # a machine is slower with more of them than cores, and is brought down by 100000
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_THREADS, metavar="N", help="Of the CPU, for ONNX files; default: all"),
]
ONE_PIXEL = 1e-6  # in megapixels
MinScore = Annotated[float, typer.Option(callback=between(0, 1), help="Keep detections above this score")]
MaxMegapixels = Annotated[
    float, typer.Option(callback=between(ONE_PIXEL), help="Refuse larger images, before decoding")
]


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
    """A line for the person at the terminal (stderr, so that --json on stdout stays clean)."""
    print(printable(message), file=sys.stderr)
