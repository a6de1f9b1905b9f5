"""Checks the outputs of a command before it begins.

`guarded` gives a command the option --overwrite and holds it to what its options declare (files/guard.py): an
output that must not or cannot be written is refused before any work is done for it.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from maskrt.runtime.files.atomic import check_writable
from maskrt.runtime.files.guard import Guard, Writes, check_readable, guarding

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace even what is not its own")]


def outputs_of(command: Callable[..., Any]) -> dict[str, Writes]:
    """Parameters of a command that name its outputs, with their marks."""
    hints = typing.get_type_hints(command, include_extras=True)
    marks = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    return {name: mark for name, found in marks.items() for mark in found if isinstance(mark, Writes)}


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a command: adds --overwrite where it has outputs, and checks what it reads and writes."""
    outputs = outputs_of(command)

    @functools.wraps(command)
    def run(*, overwrite: bool = False, **values: Any) -> Any:
        given = [(mark, values[name]) for name, mark in outputs.items()]
        with guarding(Guard(given, overwrite=overwrite, options=values)) as guard:
            for name, value in values.items():
                if name not in outputs:  # any text may name a file, which must not be overwritten then
                    for text in _texts(value):
                        check_readable(text)
                        guard.reading(text)
            check_writable(*(file for mark, value in given for file in mark.files(value)))
            return command(**values)

    signature = inspect.signature(command, eval_str=True)
    parameters = list(signature.parameters.values())
    if outputs:
        by_keyword = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter("overwrite", by_keyword, default=False, annotation=Overwrite))
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _texts(value: Any) -> Iterator[str | Path]:
    if isinstance(value, str | Path):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
