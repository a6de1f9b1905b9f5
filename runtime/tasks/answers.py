"""What models answered, and what a task says of two answers, as plain values for parity."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract


@dataclass(frozen=True)
class Answer:
    """A model's answer to one image. outputs: of a batch of one; result: in pixels of the canvas, as the
    model's own users are given it."""

    contract: Contract
    outputs: Outputs
    result: Any


@dataclass(frozen=True)
class OutputError:
    """An output of one image, judged as a stage that comes after all that is inside. output: "detections".

    compared: the share of things that both sides have. reason: why it is out of tolerance, else empty.
    """

    output: str
    max_error: float
    compared: float
    reason: str


@dataclass(frozen=True)
class Case:
    """One difference as pictures: how bad it is (0 to 2), what it is, and JPEGs (data URLs) of both sides and
    of the difference."""

    badness: float
    title: str
    reference: str
    candidate: str
    difference: str


@dataclass(frozen=True)
class Detail:
    """The table of everything that was compared, a row each. columns: their names, the image's first; "class"
    holds labels. sorted_by: the column that it is sorted by at first, the worst on top."""

    title: str
    columns: tuple[str, ...]
    rows: list[list[Any]]
    sorted_by: int


@dataclass(frozen=True)
class Exercised:
    """Parts of a model that an image exercised. by_class: the number of things; things: "detections"; branch:
    what each of them has besides, "masks", or empty."""

    by_class: Counter[str]
    things: str
    branch: str
