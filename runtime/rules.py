"""Rules for values out of JSON: what each must fulfil, and the words that say so.

They stand in the annotations of the dataclasses that `structs` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import NoneType
from typing import Any

LARGEST = 1e300  # of a float; also keeps whole numbers out that no float can hold


@dataclass(frozen=True)
class Rule:
    """What a JSON value must fulfil. expected: in words, as in "expected a text"."""

    expected: str
    fits: Callable[[Any], bool]


def whole(low: int, high: int) -> Rule:
    """A whole number within [low, high]; true and false are none."""
    return Rule(f"a whole number from {low} to {high}", lambda v: type(v) is int and low <= v <= high)


def number(low: float, high: float) -> Rule:
    """A number within [low, high]; NaN is none."""
    return Rule(f"a number from {low:g} to {high:g}", lambda v: type(v) in (int, float) and low <= v <= high)


def one_of(names: Collection[Any]) -> Rule:
    """One of some values. Where the names are known when the module is written, use Literal."""
    return Rule(" or ".join(map(repr, names)), lambda v: any(v == name for name in names))


#: Of the plain types.
SCALARS = {
    str: Rule("a text", lambda v: isinstance(v, str)),
    bool: Rule("true or false", lambda v: isinstance(v, bool)),
    int: Rule("a whole number", lambda v: type(v) is int),
    float: Rule("a finite number", lambda v: type(v) in (int, float) and -LARGEST <= v <= LARGEST),
    NoneType: Rule("null", lambda v: v is None),
}
