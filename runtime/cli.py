"""What the commands share: turning errors into a sentence and an exit code, and showing progress."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from maskrt.runtime import terminal
from maskrt.runtime.door import guarded
from maskrt.runtime.errors import EXIT_USER_ERROR, MaskrtError
from maskrt.runtime.packages import missing_for
from maskrt.runtime.terminal import flush_stdout, printable, shortened

T = TypeVar("T")
USAGE_ERROR: Any = typer.BadParameter.__bases__[0]  # click's, which newer releases of typer carry with them


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
        app.command(cls=_Command)(guarded(command))
    return app


class _Command(TyperCommand):
    """What tells of a wrong line, in which names stand as they were typed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's, but that an empty text is no value: it is the shell's variable that was not set."""
        try:
            for before, arg in zip(["", *args], args, strict=False):
                if not arg or (arg.startswith("--") and arg.endswith("=") and before != "--"):
                    what = arg or (before if before.startswith("-") else "an argument")
                    raise typer.BadParameter(f"{what}: an empty text is no value. Leave it out, or give one.")
            return super().parse_args(ctx, args)
        except USAGE_ERROR as error:
            error.message = printable(error.message)
            raise


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
        say(shortened(f"{prog}: {error}"))
        sys.exit(error.exit_code)
    except OSError as error:  # that no stage foresaw: a file that went away, a disk that is full
        what = error.filename or "standard output"
        say(f"{prog}: {what}: {error.strerror or error}. Look whether it is there, and the disk has room.")
        flush_stdout()
        sys.exit(EXIT_USER_ERROR)
    except RecursionError:
        say(f"{prog}: an input is nested too deeply to be read. Look at what it holds.")
        sys.exit(EXIT_USER_ERROR)
    except RuntimeError as error:
        if not str(error).startswith(
            "Symlink loop"
        ):  # pathlib's, before Python 3.13; RecursionError is above
            raise
        say(f"{prog}: {error}: a link that leads to itself names no file. Remove it, or name another.")
        sys.exit(EXIT_USER_ERROR)
    except MemoryError:
        say(f"{prog}: memory ran out. Take a smaller --batch, smaller images, or a machine with more of it.")
        sys.exit(EXIT_USER_ERROR)
    finally:
        if reason := flush_stdout():
            say(f"{prog}: standard output: {reason}. What was printed is not whole.")
            sys.exit(EXIT_USER_ERROR)


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
