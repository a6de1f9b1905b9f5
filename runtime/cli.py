"""What the commands share: turning errors into a sentence and an exit code, and showing progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import typer

from runtime.errors import MaskrtError

T = TypeVar("T")


def run(command: Callable[..., Any], prog: str, args: list[str] | None = None) -> None:
    """Run a typer-annotated function as a program; a MaskrtError ends it with one sentence on stderr."""
    app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    app.command()(command)
    try:
        app(args=args, prog_name=prog)
    except MaskrtError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar, speed and ETA on stderr; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield from progress.track(items, description=description, total=total)


def say(message: str) -> None:
    """A line for the person at the terminal (stderr, so that --json on stdout stays clean)."""
    print(message, file=sys.stderr)
