"""Checks the settings of a configuration against the values in which they make sense."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from maskrt.runtime.errors import CheckpointError

MOST = 10**6  # of what is counted, or a side in px: more than any network has, and less than takes all memory


@dataclass(frozen=True)
class Rule:
    """What the values of some settings must fulfil.

    names: of the settings, with spaces between. expected: `fits` in words.
    """

    names: str
    fits: Callable[[Any], bool]
    expected: str


def is_number(value: Any) -> bool:
    """True of a finite int or float; a bool is none."""
    return type(value) in (int, float) and math.isfinite(value)


def are_numbers(values: Any) -> bool:
    """True of a tuple of finite numbers, an empty one too."""
    return isinstance(values, tuple) and all(map(is_number, values))


def are_positive(values: Any) -> bool:
    """True of a tuple of at least one number, all above 0."""
    return are_numbers(values) and min(values, default=0) > 0


def counted(names: str) -> Rule:
    """The rule of what is counted, or is a side in px."""
    return Rule(
        names,
        lambda value: type(value) is int and 1 <= value <= MOST,
        f"at least 1, and a whole number to {MOST}",
    )


def from_0_to(most: float, names: str) -> Rule:
    """The rule of numbers from 0 to `most`."""
    return Rule(names, lambda value: is_number(value) and 0 <= value <= most, f"0 to {most}")


CLASSES = Rule(
    "num_classes",
    lambda value: type(value) is int and 2 <= value <= MOST,
    "at least 2 (background and one class)",
)
MEAN = Rule("mean", lambda values: are_numbers(values) and len(values) == 3, "three numbers")
STD = Rule("std", lambda values: are_positive(values) and len(values) == 3, "three numbers above 0")


def check_choices(config: object, **choices: Collection[str]) -> None:
    """Raise CheckpointError for the first field of `config`, by name, that is none of its choices."""
    for name, allowed in choices.items():
        if (got := getattr(config, name)) not in allowed:
            raise CheckpointError(
                f"model configuration: {name} is {got!r}, expected one of {tuple(allowed)}."
            )


def check_ranges(config: Mapping[str, Any], rules: Iterable[Rule], at_least: Mapping[str, str]) -> None:
    """Raise CheckpointError for the first setting of `config`, by name, that breaks a rule.

    at_least: by a setting's name, another that it must not be below.
    """
    for rule in rules:
        for name in rule.names.split():
            if not rule.fits(config[name]):
                raise CheckpointError(
                    f"model configuration: {name} is {config[name]!r}, expected {rule.expected}."
                )
    for name, lower in at_least.items():
        if config[name] < config[lower]:
            raise CheckpointError(
                f"model configuration: {name} is {config[name]}, expected at least {lower}, {config[lower]}."
            )
