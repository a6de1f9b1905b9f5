"""Reads dataclasses from JSON: each value is checked against its field's type and range.

A file comes from anywhere, so nothing in it is trusted. The dataclass says what each field may hold:

    height_px: Annotated[int, whole(1, 16384)] | None

Types: str, int, float, bool, None, Any, Literal, unions, tuple, dict[str, …], dataclasses. A field with a
default may be missing. `FORMAT: ClassVar[Format]` gives a dataclass, or a part of one, a format number.
`__post_init__` may raise `wrong(…)` for what several fields must fulfil together. The metadata `NAMED_BY`
makes a field of which another one says the key and the dataclass.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.rules import SCALARS

Struct = TypeVar("Struct")
SHOWN_CHARACTERS = 60  # of a value that is wrong
LIST, OBJECT = "a list", "an object"


@dataclass(frozen=True)
class Format:
    """The number of a file's format, and the key under which it stands in the JSON object."""

    number: int
    key: str = "format"


@dataclass(frozen=True)
class FileKind:
    """What the error messages say of a kind of file."""

    name: str  # "precision plan"
    denial: str  # said of what is no such JSON object: "not a precision plan"
    again: str  # the next command; "{source}" stands for the file
    error: type[MaskrtError]


@dataclass(frozen=True)
class NamedBy:
    """Of a section that stands in the JSON under the text that another field holds, and is what that says.

    field: the other field. kinds: the dataclass by that text; raises FieldError where there is none.
    """

    field: str
    kinds: Callable[[str], type]


NAMED_BY = "named by"  # of a field's metadata


class FieldError(ValueError):
    """A field that holds what it may not. path: "canvas.stride", "classes[2].id", "layers['stem']"."""

    def __init__(self, path: str, problem: str, upgrade: str = "") -> None:
        """problem: what follows the field's name in the sentence. upgrade: advice, if its format is newer."""
        super().__init__(f"{path} {problem}")
        self.path, self.problem, self.upgrade = path, problem, upgrade


def wrong(path: str, value: Any, expected: str) -> FieldError:
    """The error for a value that a field may not hold."""
    shown = repr(value)
    shown = shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 2] + " …"
    return FieldError(path, f"is {shown}, expected {expected}")


def parse(content: str | bytes | Path, source: str | os.PathLike[str], kind: FileKind) -> dict[str, Any]:
    """The object in JSON text, or in a JSON file (Path). Raises kind.error for anything else."""
    again = kind.again.format(source=source)
    try:
        fields = json.loads(content.read_bytes() if isinstance(content, Path) else content)
        if not isinstance(fields, dict):
            raise ValueError(f"a JSON {type(fields).__name__}, expected {OBJECT}")
    except OSError as error:
        raise kind.error(f"{source}: cannot be read ({error.strerror}). {again}") from error
    except (ValueError, RecursionError) as error:
        raise kind.error(f"{source}: {kind.denial} ({error}). {again}") from error
    return fields


def read(
    cls: type[Struct],
    content: str | bytes | Path | Mapping[str, Any],
    source: str | os.PathLike[str],
    kind: FileKind,
) -> Struct:
    """A dataclass from JSON text, a JSON file (Path), or the object that was in it (a mapping).

    A value that is an instance of its field's dataclass was read before, and is taken as it is.
    source: the file, for the messages. Raises kind.error, which names the file, the field, what it holds,
    what was expected, and the next command.
    """
    fields = content if isinstance(content, Mapping) else parse(content, source, kind)
    again = kind.again.format(source=source)
    if (form := getattr(cls, "FORMAT", None)) and form.key not in fields:
        raise kind.error(f"{source}: {kind.denial} (it has no '{form.key}'). {again}")
    try:
        return _read(cls, fields, "")
    except FieldError as error:
        subject = f"the {kind.name}'s field '{error.path}'" if error.path else f"the {kind.name}"
        raise kind.error(f"{source}: {subject} {error.problem}. {error.upgrade}{again}") from error


def plain(value: Any) -> Any:
    """A dataclass as JSON has it: objects, their format number first; lists for tuples."""
    if dataclasses.is_dataclass(value):
        form = getattr(value, "FORMAT", None)
        held = vars(value)
        fields = {_key(field, held): plain(held[field.name]) for field in dataclasses.fields(value)}
        return {form.key: form.number, **fields} if form else fields
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _read(hint: Any, value: Any, path: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        if broken := next((rule for rule in args[1:] if not rule.fits(value)), None):
            raise wrong(path, value, broken.expected)
        return _read(args[0], value, path)
    if origin in (Union, UnionType):
        return _read_union(hint, value, path)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else _read_fields(hint, value, path)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list | tuple):
        hints = args[:1] * len(value) if args[-1] is Ellipsis else args
        if len(hints) == len(value):
            pairs = enumerate(zip(hints, value, strict=True))
            return tuple(_read(each, entry, f"{path}[{i}]") for i, (each, entry) in pairs)
    if origin is dict and isinstance(value, dict):
        return {key: _read(args[1], entry, f"{path}[{key!r}]") for key, entry in value.items()}
    if origin is Literal and any(value == each and type(value) is type(each) for each in args):
        return value
    if hint is Any or (hint in SCALARS and SCALARS[hint].fits(value)):
        return value
    raise wrong(path, value, _expected(hint))


def _read_union(hint: Any, value: Any, path: str) -> Any:
    """As the first type that fits. If only one of them could be meant, a fault inside is named there."""
    objects = [each for each in get_args(hint) if dataclasses.is_dataclass(each)]
    if len(objects) == 1 and isinstance(value, Mapping):
        return _read(objects[0], value, path)
    inside = []
    for each in get_args(hint):
        try:
            return _read(each, value, path)
        except FieldError as fault:
            inside += [fault] if fault.path != path else []
    raise inside[0] if len(inside) == 1 else wrong(path, value, _expected(hint))


def _read_fields(cls: Any, value: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        raise wrong(path, value, OBJECT)
    form, given, start = getattr(cls, "FORMAT", None), dict(value), f"{path}." if path else ""
    if form and (got := given.pop(form.key, None)) != form.number:
        newer = type(got) is int and got > form.number
        problem = f"has format {got}, but this maskrt reads format {form.number}"
        raise FieldError(path, problem, "Upgrade maskrt here, or go on with this one: " if newer else "")
    known = dataclasses.fields(cls)
    hints, keys = dict(_hints(cls)), {_key(field, given): field for field in known}
    for field in known:
        if (by := field.metadata.get(NAMED_BY)) and by.field in given:
            hints[field.name] = _kind(by, _read(hints[by.field], given[by.field], start + by.field), start)
    needed = {key for key, field in keys.items() if field.default is field.default_factory is MISSING}
    missing, unknown = sorted(needed - set(given)), sorted(set(given) - set(keys))
    if missing or unknown:
        raise FieldError(path, f"has missing fields {missing} and unknown fields {unknown}")
    names = {key: field.name for key, field in keys.items()}
    values = {names[key]: _read(hints[names[key]], entry, start + key) for key, entry in given.items()}
    try:
        return cls(**values)
    except FieldError as fault:  # of __post_init__, which knows the fields' names alone
        raise FieldError(start + fault.path, fault.problem) from fault


@cache
def _hints(cls: type) -> dict[str, Any]:
    """Of each field its type. To work them out takes longer than to read the fields."""
    return get_type_hints(cls, include_extras=True)


def _kind(by: NamedBy, name: str, start: str) -> type:
    try:
        return by.kinds(name)
    except FieldError as fault:
        raise FieldError(start + fault.path, fault.problem, fault.upgrade) from fault


def _key(field: dataclasses.Field[Any], values: Mapping[str, Any]) -> str:
    """The key under which a field stands in a JSON object of these values."""
    by = field.metadata.get(NAMED_BY)
    name = values.get(by.field) if by else field.name
    return name if isinstance(name, str) else field.name


def _expected(hint: Any) -> str:
    """What a type takes, in words."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return str(args[1].expected)
    if origin in (Union, UnionType):
        words = " or ".join(_expected(each) for each in args if each is not NoneType)
        return f"{words}, or null" if NoneType in args else words
    if origin is tuple:
        return LIST if args[-1] is Ellipsis else f"{LIST} of {len(args)}"
    if origin is Literal:
        return " or ".join(map(repr, args))
    return SCALARS[hint].expected if hint in SCALARS else OBJECT
