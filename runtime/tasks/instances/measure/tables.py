"""An evaluation as tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskrt.runtime.tasks.instances.measure.coco import STATISTICS

END_CLASSES = 10  # shown of the best and of the worst


def ap_table(figures: dict[str, Any], kinds: Sequence[str], title: str) -> Any:
    """A rich Table: a row a statistic, a column a kind."""
    from rich.table import Table

    table = Table(title=title)
    table.add_column("COCO metric")
    for kind in kinds:
        table.add_column(kind, justify="right")
    for statistic in STATISTICS:
        values = (figures.get(f"{kind}_{statistic}", -1) for kind in kinds)
        table.add_row(statistic, *("–" if v < 0 else f"{v:.4f}" for v in values))
    return table


def class_table(per_class: dict[str, list[dict[str, Any]]]) -> Any:
    """AP of the classes that the data has, the best first; of many, those at both ends."""
    from rich.markup import escape
    from rich.table import Table

    first = next(iter(per_class))
    there = [k for k, row in enumerate(per_class[first]) if row["ap"] is not None]
    there.sort(key=lambda k: -per_class[first][k]["ap"])
    table = Table(title="AP of each class")
    table.add_column("class")
    table.add_column("objects", justify="right")
    for kind in per_class:
        table.add_column(kind, justify="right")
    ends = there if len(there) <= 2 * END_CLASSES else there[:END_CLASSES] + there[-END_CLASSES:]
    for number, k in enumerate(ends):
        if number == END_CLASSES and len(ends) < len(there):
            table.add_row(f"… {len(there) - len(ends)} more: -o, --html")
        row = per_class[first][k]
        values = (rows[k]["ap"] for rows in per_class.values())
        figures = ("–" if v is None else f"{v:.4f}" for v in values)
        table.add_row(escape(row["name"]), str(row["instances"]), *figures)
    return table
