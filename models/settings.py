"""Settings by name: the KEY=VALUE of `--set`, and a file's values, held to a configuration's own fields."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from maskrt.runtime.errors import MaskrtError

Config = TypeVar("Config")


def assignments(texts: Iterable[str]) -> dict[str, str]:
    """The texts of `--set` by the names they set. Raises MaskrtError for one without an equals sign."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise MaskrtError(f"--set {text}: expected KEY=VALUE, e.g. --set min_size_px=512")
        values[name] = value
    return values


def parse(texts: Mapping[str, str], *configs: Any) -> dict[str, Any]:
    """Values of texts, each of the kind of the field of that name; a tuple is written 1,2,3 or (1,),(2,).

    configs: whose fields may be named. Raises MaskrtError for an unknown name, with those that are like it,
    and for a value of another kind.
    """
    examples = _fields(*configs)
    values: dict[str, Any] = {}
    for name, text in texts.items():
        if name not in examples:
            raise MaskrtError(f"--set {name}: {_unknown(name, examples)}")
        try:
            values[name] = _parsed(text, examples[name])
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise MaskrtError(f"--set {name}={text}: expected {_kind(examples[name])}.") from error
    return values


def override(config: Config, texts: Mapping[str, str]) -> Config:
    """A copy of a frozen configuration with fields set from text; see `parse`."""
    return dataclasses.replace(config, **parse(texts, config))  # type: ignore[type-var]


def replaced(config: Config, values: Mapping[str, Any], source: str) -> Config:
    """A copy of a frozen configuration with values out of JSON or YAML, where tuples are lists.

    source: where they stand, for messages. Raises MaskrtError as `parse` does.
    """
    examples = _fields(config)
    fitting: dict[str, Any] = {}
    for name, value in values.items():
        if name not in examples:
            raise MaskrtError(f"{source}: {name}: {_unknown(name, examples)}")
        try:
            text = isinstance(value, str) and not isinstance(examples[name], str)  # YAML takes 1e-4 for text
            fitting[name] = (
                _parsed(value, examples[name]) if text else _fitting(_tuples(value), examples[name])
            )
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise MaskrtError(f"{source}: {name} is {value!r}, expected {_kind(examples[name])}.") from error
    return dataclasses.replace(config, **fitting)  # type: ignore[type-var]


def near(name: str, known: Iterable[str]) -> str:
    """The known names that one could have been meant to be, in words; empty where none is like it."""
    known = list(known)
    like = [k for k in known if len(name) > 2 and name in k]
    like += [k for k in difflib.get_close_matches(name, known) if k not in like]
    return f"did you mean {' or '.join(like[:4])}? " if like else ""


def _fields(*configs: Any) -> dict[str, Any]:
    return {field.name: getattr(each, field.name) for each in configs for field in dataclasses.fields(each)}


def _unknown(name: str, examples: Mapping[str, Any]) -> str:
    return f"no such setting; {near(name, examples)}Known: {', '.join(sorted(examples))}"


def _kind(example: Any) -> str:
    kinds = {bool: "True or False", int: "a whole number", float: "a number", str: "a word", tuple: "numbers"}
    return f"{kinds[type(example)]}, such as {example!r}"


def _parsed(text: str, example: Any) -> Any:
    if isinstance(example, str):
        return text
    return _fitting(
        ast.literal_eval(f"({text},)" if isinstance(example, tuple) and "," not in text else text), example
    )


def _fitting(value: Any, example: Any) -> Any:
    if not _is_like(value, example):
        raise ValueError(value)
    return float(value) if isinstance(example, float) else value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _is_like(value: Any, example: Any) -> bool:
    """Of the same type, down to a tuple's elements, which are all of one; whole numbers pass for float."""
    if isinstance(example, tuple):
        return isinstance(value, tuple) and all(_is_like(each, example[0]) for each in value)
    if isinstance(example, float):
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is type(example)
