"""Makes a program of a command: `main = Program("maskrt infer", command)`.

A command is a function whose parameters are annotated with typer's options and arguments, or are groups of
them (groups.py). As a program it checks its outputs before it begins (door.py), prints an error as one
sentence, and ends with an exit code. `maskrt VERB`, `python -m maskrt.…` and `main([…])` run the same.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import typer
from typer.core import TyperCommand, TyperGroup

from maskrt.runtime.commands.cli import say
from maskrt.runtime.commands.door import guarded
from maskrt.runtime.commands.groups import flattened
from maskrt.runtime.commands.terminal import flush_stdout, printable, shortened
from maskrt.runtime.errors import EXIT_USER_ERROR, MaskrtError
from maskrt.runtime.packages import missing_for

Command: TypeAlias = Callable[..., Any]
USAGE_ERROR: Any = typer.BadParameter.__bases__[0]  # click's, which newer releases of typer carry with them


@dataclass(frozen=True)
class Later:
    """A command that is imported only when it is called: its package may not be installed."""

    load: Callable[[], Command]


@dataclass(frozen=True)
class Program:
    """A command with the name that users type. The first argument may name one of `verbs` instead.

    Without `command` the first argument has to name one, and `summary` is the text of the help.
    """

    name: str
    command: Command | None = None
    verbs: Mapping[str, Command | Later] = field(default_factory=dict)
    summary: str = ""

    def __call__(self, args: list[str] | None = None) -> None:
        """Run with `args` (default: those of the process). Raises SystemExit with the exit code, always."""
        args = sys.argv[1:] if args is None else args
        if args and args[0] in self.verbs:
            with errors_as_sentences(f"{self.name} {args[0]}"):
                self.verb(args[0])(args[1:])
        with errors_as_sentences(self.name):
            (self._line() if self.command else self.parser())(args=args, prog_name=self.name)

    def verb(self, name: str) -> Program:
        """The program of a verb. Raises MaskrtError where the package that it lies in is not installed."""
        command = self.verbs[name]
        return Program(f"{self.name} {name}", command.load() if isinstance(command, Later) else command)

    def parser(self) -> Any:
        """click's command, or group of commands: prints the help, and completes a line in a shell."""
        return _Verbs(self) if self.verbs else self._line()

    def _line(self) -> Any:
        """click's command that parses the arguments of `command`."""
        assert self.command is not None
        app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
        app.command(self.name.split()[-1], cls=_Line)(guarded(flattened(self.command)))
        return typer.main.get_command(app)


class _Line(TyperCommand):
    """typer's command; its usage errors show names with control characters escaped."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's, but refuses an empty text as a value: it comes from an unset shell variable."""
        try:
            for before, arg in zip(["", *args], args, strict=False):
                if not arg or (arg.startswith("--") and arg.endswith("=") and before != "--"):
                    what = arg or (before if before.startswith("-") else "an argument")
                    raise typer.BadParameter(f"{what}: an empty text is no value. Leave it out, or give one.")
            return super().parse_args(ctx, args)
        except USAGE_ERROR as error:
            error.message = printable(error.message)
            raise

    def invoke(self, ctx: Any) -> Any:
        """As typer's, but says that the reader of standard output went away: typer ends in silence."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            reason = flush_stdout() or error.strerror
            raise MaskrtError(f"standard output: {reason}. What was printed is not whole.") from error


class _Verbs(TyperGroup):
    """The verbs of a program, imported when they are used; other lines are for the program's own command."""

    def __init__(self, program: Program) -> None:
        names: dict[str, Any] = {name: TyperCommand(name) for name in program.verbs}
        super().__init__(commands=names, help=program.summary, no_args_is_help=True, rich_markup_mode="rich")
        self._program = program

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The parser of a verb; None if there is no such verb or its package is not installed."""
        with contextlib.suppress(MaskrtError):
            return self._program.verb(cmd_name).parser() if cmd_name in self._program.verbs else None

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the program's own command if the line to complete names no verb."""
        if self._program.command and args and args[0] not in self._program.verbs:
            return self._program._line().make_context(info_name, args, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The verbs, and the options of the program's own command."""
        own = self._program._line().shell_complete(ctx, incomplete) if self._program.command else []
        return [*super().shell_complete(ctx, incomplete), *own]


@contextlib.contextmanager
def errors_as_sentences(prog: str) -> Iterator[None]:
    """End the program on a MaskrtError with one sentence on stderr and the error's exit code.

    A missing package is such an error too: commands import theirs when they run, since --help needs none.
    """
    try:
        try:
            yield
        except ImportError as error:
            raise missing_for(error, prog) from error
    except MaskrtError as error:
        say(shortened(f"{prog}: {error}"))
        sys.exit(error.exit_code)
    except OSError as error:  # that no command foresaw: a file that was removed, a full disk
        what = error.filename or "standard output"
        say(f"{prog}: {what}: {error.strerror or error}. Look whether it is there, and the disk has room.")
        flush_stdout()
        sys.exit(EXIT_USER_ERROR)
    except RecursionError:
        say(f"{prog}: an input is nested too deeply to be read. Look at what it holds.")
        sys.exit(EXIT_USER_ERROR)
    except RuntimeError as error:
        if not str(error).startswith("Symlink loop"):  # pathlib's, before Python 3.13
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
