"""Options that belong together, as a dataclass: one parameter of a command, an option for each field.

    @dataclass(frozen=True)
    class Compute:
        device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu"
        threads: Annotated[int | None, typer.Option(min=1)] = None

    def command(model: Path, compute: Compute) -> None: ...   # command MODEL --device cuda --threads 2

Checks of several options together stand in the dataclass's `__post_init__`, its methods do what follows.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any


def flattened(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with the fields of its groups as parameters, in the groups' places; for typer to read.

    It takes keywords alone. Raises ValueError where two parameters have one name.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if is_dataclass(parameter.annotation):
            groups[name] = parameter.annotation
            parameters += _fields_of(parameter.annotation)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def run(**values: Any) -> Any:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        return command(**values)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _fields_of(group: Any) -> list[inspect.Parameter]:
    """A dataclass's fields as parameters, with their annotations and defaults."""
    hints = typing.get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
