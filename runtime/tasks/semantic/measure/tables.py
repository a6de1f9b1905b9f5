"""An evaluation as tables on the terminal."""

from __future__ import annotations

from typing import Any

COLUMNS = ("iou", "accuracy", "precision")


def figure_table(figures: dict[str, float | None], title: str) -> Any:
    """A rich Table: a row a figure."""
    from rich.table import Table

    table = Table(title=title)
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name, _shown(value))
    return table


def class_table(rows: list[dict[str, Any]]) -> Any:
    """IoU, accuracy and precision of each class, in the model's order."""
    from rich.markup import escape
    from rich.table import Table

    table, total = Table(title="Classes"), max(sum(row["pixels"] for row in rows), 1)
    for heading in ("class", "pixels", "IoU", *COLUMNS[1:]):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for row in rows:
        share = f"{row['pixels'] / total:.2%}"
        table.add_row(escape(row["name"]), share, *(_shown(row[name]) for name in COLUMNS))
    return table


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
