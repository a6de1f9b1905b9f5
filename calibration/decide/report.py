"""Prints the sensitivity table, and writes the sensitivity files."""

from __future__ import annotations

import json
from pathlib import Path

from maskrt.calibration.decide.sensitivity import Row, plot
from maskrt.runtime.commands import terminal
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import SENSITIVITY
from maskrt.runtime.parity.report import averages
from maskrt.runtime.tasks.rows import Row as Measure


def print_sensitivity(rows: list[Row]) -> None:
    """Print one line per group, the most sensitive first."""
    from rich.table import Table

    table = Table(title="Sensitivity: each group alone in INT8, and left out alone")
    first = _first(rows[0]).name.removesuffix(" difference")
    for heading in ("group", "matched", "loss", first, "left out: loss", "worst stage", "error"):
        table.add_column(heading, justify="left" if heading in ("group", "worst stage") else "right")
    for row in rows:
        alone = row.alone.report
        stage = max(row.stage_errors, key=lambda name: row.stage_errors[name])
        table.add_row(
            row.group,
            f"{alone.results.matched:.1%}",
            f"{row.alone.loss:.4f}",
            f"{_first(row).mean:.4f}",
            f"{row.left_out.loss:.4f}",
            stage,
            f"{row.stage_errors[stage]:.3f}",
        )
    terminal.console(stderr=True).print(table)


def _first(row: Row) -> Measure:
    """Of what the group alone loses, the first difference that is measured."""
    return next(one for one in averages(row.alone.report.results.rows) if not one.at_least and one.listed)


def write_sensitivity(path: Path, rows: list[Row]) -> None:
    """Print the table, and write the plot (.png) and the figures (.json)."""
    plot(rows, path.with_suffix(".png"))
    write_text(path.with_suffix(".json"), json.dumps([row.to_dict() for row in rows], indent=1), SENSITIVITY)
    print_sensitivity(rows)
