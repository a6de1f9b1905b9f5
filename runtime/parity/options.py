"""What the commands that judge a model are told: its limits, and where their report goes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from maskrt.runtime.errors import OptionError
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import PAGE, PARITY_REPORT
from maskrt.runtime.parity.findings import MAX_DROP
from maskrt.runtime.tasks.comparison import Comparison
from maskrt.runtime.tasks.task import Task

OPEN_ENDED = ("_px", "tail", "margin")  # ends of the names of limits that may be above 1


@dataclass(frozen=True)
class Limits:
    """Limits of a comparison in place of its own (`Comparison.limits`). Raises OptionError for no numbers."""

    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Another limit, such as matched=0.95; repeat for more"),
    ] = None

    def __post_init__(self) -> None:
        _ = self.chosen

    @property
    def chosen(self) -> dict[str, float]:
        """The limits that were given, by name."""
        return dict(_number(text) for text in self.limit or ())

    def comparison(self, task: Task, precision: str) -> Comparison:
        """An empty comparison by the tolerance of a precision, with these limits.

        Raises OptionError for a limit that the task's tolerance has not.
        """
        known = task.compare(precision).limits
        names = [name for name, value in known.items() if isinstance(value, float)]
        if unknown := [name for name in self.chosen if name not in names]:
            raise OptionError(
                f"--limit {unknown[0]}={self.chosen[unknown[0]]:g}: there is no such limit, expected one of "
                f"{', '.join(names)}."
            )
        for name, value in self.chosen.items():
            if value > 1 and not name.endswith(OPEN_ENDED):
                raise OptionError(f"--limit {name}={value:g}: expected a share or an overlap, from 0 to 1.")
        return task.compare(precision, self.chosen)


@dataclass(frozen=True)
class Allowed(Limits):
    """What a model may lose where there are annotations too. Raises OptionError for what is no limit."""

    max_ap_drop: Annotated[float, typer.Option(help="Points of AP or mIoU that may be lost")] = MAX_DROP

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.max_ap_drop < math.inf:
            raise OptionError(f"--max-ap-drop {self.max_ap_drop}: expected 0 or more.")

    def check_annotated(self, annotations: str | None, option: str) -> None:
        """Raise OptionError for a limit of AP where nothing is annotated. option: that names annotations."""
        if annotations is None and self.max_ap_drop != MAX_DROP:
            raise OptionError(
                f"--max-ap-drop {self.max_ap_drop:g}: AP is measured on annotated images alone. Name some: "
                f"{option}"
            )

    def check_judged(self, against: Path | None) -> None:
        """Raise OptionError for limits where there is no model to hold the candidate to."""
        if against is None and (self.limit or self.max_ap_drop != MAX_DROP):
            raise OptionError(
                "--limit and --max-ap-drop judge what is lost against another model. Name it: --against MODEL"
            )


@dataclass(frozen=True)
class ReportFiles:
    """Where the report goes; the fields are parameters of `conclude`."""

    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the report (JSON)"), Writes(PARITY_REPORT)
    ] = None
    html: Annotated[Path | None, typer.Option(help="Write the report as a page (.html)"), Writes(PAGE)] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print the report on stdout")] = False


def _number(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not name or not 0 <= number < math.inf:
        raise OptionError(f"--limit {text}: expected NAME=VALUE, a number from 0 on, such as matched=0.95.")
    return name, number
