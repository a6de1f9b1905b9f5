"""Faults of annotations, collected over a whole file so that one run shows all of them.

A check raises `Flaw`; a reader collects flaws as `Problem`s; `Problems.raise_or_count` makes them one error,
or, with --skip-bad, a count for each reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from maskrt.runtime.errors import DataError
from maskrt.runtime.files.guard import offers

# Stable names: they are the keys of Dataset.dropped and end every line of the error message.
Reason = Literal[
    "malformed",  # a field is missing or of the wrong type
    "duplicate_id",
    "unknown_category",
    "unknown_image",
    "missing_image",
    "unreadable_image",
    "image_size",  # the file's size is not the one stated
    "too_few_points",
    "odd_coordinates",
    "non_finite",
    "outside_image",
    "zero_area",
    "bad_rle",
    "rle_size",
    "unsupported_shape",
    "no_class",
    "missing_mask",
    "unreadable_mask",
    "mask_size",  # the mask file's size is not the image's
    "too_many_objects",
]
LISTED = 20


class MalformedDataError(DataError):
    """Annotations that cannot be used; `problems` lists all of them."""

    def __init__(self, message: str, problems: list[Problem]) -> None:
        super().__init__(message)
        self.problems = problems


class Flaw(Exception):
    """Fault of one annotation or image, raised by a check. `detail` says what was got and expected."""

    def __init__(self, reason: Reason, detail: str):
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Problem:
    """Flaw with its place: `annotation_id` is None where the image itself is at fault."""

    file: str
    annotation_id: int | str | None
    reason: Reason
    detail: str

    def __str__(self) -> str:
        where = self.file if self.annotation_id is None else f"{self.file}, annotation {self.annotation_id}"
        return f"{where}: {self.detail} [{self.reason}]"


class Problems:
    """Collector of the problems of one annotation file."""

    def __init__(self, annotation_file: Path, skip: str = "--skip-bad") -> None:
        """skip: the option that leaves them out, where the running command has one."""
        self.annotation_file, self.skip = annotation_file, skip
        self.found: list[Problem] = []
        self.on_dropped_image = 0  # sound annotations that go because their image does

    @contextmanager
    def noting(self, file: str, annotation_id: int | str | None = None) -> Iterator[None]:
        """Run a block; a Flaw raised in it ends the block and becomes a Problem."""
        try:
            yield
        except Flaw as flaw:
            self.found.append(Problem(file, annotation_id, flaw.reason, flaw.detail))

    def raise_or_count(self, skip_bad: bool) -> dict[str, int]:
        """Raise all problems as one MalformedDataError; with `skip_bad` return their number by reason."""
        if self.found and not skip_bad:
            raise MalformedDataError(self._message(), self.found)
        dropped = Counter[str](problem.reason for problem in self.found)
        if self.on_dropped_image:
            dropped["on_dropped_image"] = self.on_dropped_image
        return dict(dropped)

    def _message(self) -> str:
        count = len(self.found)
        lines = [f"{self.annotation_file}: {count} problem{'s' if count > 1 else ''}, expected none."]
        lines += [f"  {problem}" for problem in self.found[:LISTED]]
        rest = Counter(problem.reason for problem in self.found[LISTED:])
        if rest:
            reasons = ", ".join(f"{reason} {n}" for reason, n in rest.most_common())
            lines.append(f"  and {rest.total()} more: {reasons}")
        lines.append(
            f"Mend the file, or go on without them: {self.skip} drops them and counts them."
            if offers("skip_bad")
            else "Mend the file. What is wrong with all of it: maskrt inspect-data"
        )
        return "\n".join(lines)
