"""What the commands share: turning errors into a sentence and an exit code, and showing progress."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer

from runtime.door import guarded
from runtime.errors import MaskrtError
from runtime.packages import missing_for

T = TypeVar("T")


def between(low: float, high: float = math.inf) -> Callable[[float], float]:
    """A callback for an option that takes a number from `low` to `high`; NaN and infinity are none."""

    def check(value: float) -> float:
        if not (math.isfinite(value) and low <= value <= high):
            most = f" to {high:g}" if math.isfinite(high) else " on"
            raise typer.BadParameter(f"{value:g} is not a number from {low:g}{most}.")
        return value

    return check


ONE_PIXEL = 1e-6  # in megapixels
MinScore = Annotated[float, typer.Option(callback=between(0, 1), help="Keep detections above this score")]
MaxMegapixels = Annotated[
    float, typer.Option(callback=between(ONE_PIXEL), help="Refuse larger images, before decoding")
]


def run(command: Callable[..., Any], prog: str, args: list[str] | None = None) -> None:
    """Run a typer-annotated function as a program; a MaskrtError ends it with one sentence on stderr."""
    _run(app_of(command), prog, args)


def run_several(
    commands: Sequence[Callable[..., Any]], summary: str, prog: str, args: list[str] | None = None
) -> None:
    """As `run`, for functions that are called by their names, as in `maskrt engine inspect`."""
    _run(app_of(*commands, help=summary, no_args_is_help=True), prog, args)


def app_of(*commands: Callable[..., Any], **settings: Any) -> typer.Typer:
    """What parses the line of a program: of one typer-annotated function, or of several by their names."""
    app = typer.Typer(
        add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False, **settings
    )
    for command in commands:
        app.command()(guarded(command))
    return app


def _run(app: typer.Typer, prog: str, args: list[str] | None) -> None:
    with errors_as_sentences(prog):
        app(args=args, prog_name=prog)


@contextmanager
def errors_as_sentences(prog: str) -> Iterator[None]:
    """A MaskrtError raised within ends the program: one sentence on stderr, and the error's exit code.

    So does a package that is not installed: commands import theirs when they run, since --help needs none.
    """
    try:
        try:
            yield
        except ImportError as error:
            raise missing_for(error, prog) from error
    except MaskrtError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar on stderr, and the time left, or without a total the speed.

    Silent where stderr is no terminal.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
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
    print(message, file=sys.stderr)
