"""Prints the gate's verdict and the sensitivity table, and writes the sensitivity files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from maskrt.calibration.decide.gate import Verdict
from maskrt.calibration.decide.sensitivity import Row, plot
from maskrt.runtime import terminal
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import SENSITIVITY


def print_verdict(verdict: Verdict, title: str) -> None:
    """Print what a candidate loses beside its limits."""
    from rich.table import Table

    report, limits = verdict.report, verdict.limits

    def allowed(limit: str) -> str:
        return "–" if limits.by_ap_alone else limit

    table = Table(title=title)
    for heading in ("against the float model", "is", "allowed"):
        table.add_column(heading, justify="left" if heading.startswith("against") else "right")
    tolerance = report.tolerance
    table.add_row(
        f"instances above {tolerance.above_score:g} matched",
        f"{report.matched:.1%}",
        allowed(f"≥ {tolerance.matched:.0%}"),
    )
    if not np.isnan(iou := report.mean("mask_ious")):
        table.add_row("mean mask IoU", f"{iou:.4f}", allowed(f"≥ {tolerance.mask_iou:g}"))
    for what, key, digits, limit in (
        ("mean score difference", "score_differences", 4, tolerance.score),
        ("mean box difference (px)", "box_differences_px", 2, tolerance.box_px),
    ):
        table.add_row(what, f"{report.mean(key):.{digits}f}", allowed(f"{limit:g}"))
    if not np.isnan(apart_px := report.mean("keypoint_differences_px")):
        table.add_row(
            "mean keypoint difference (px)", f"{apart_px:.2f}", allowed(f"{tolerance.keypoint_px:g}")
        )
    if verdict.ap_drop is not None:
        table.add_row(
            f"{verdict.kind} AP lost, of {100 * (verdict.reference_ap or 0):.2f} (points)",
            f"{verdict.ap_drop:.2f}",
            f"{limits.max_ap_drop:g}",
        )
    terminal.console(stderr=True).print(table)


def print_sensitivity(rows: list[Row]) -> None:
    """Print one line per group, the most sensitive first."""
    from rich.table import Table

    table = Table(title="Sensitivity: each group alone in INT8, and left out alone")
    for heading in ("group", "matched", "loss", "score", "left out: loss", "worst stage", "error"):
        table.add_column(heading, justify="left" if heading in ("group", "worst stage") else "right")
    for row in rows:
        alone = row.alone.report
        stage = max(row.stage_errors, key=lambda name: row.stage_errors[name])
        table.add_row(
            row.group,
            f"{alone.matched:.1%}",
            f"{row.alone.loss:.4f}",
            f"{alone.mean('score_differences'):.4f}",
            f"{row.left_out.loss:.4f}",
            stage,
            f"{row.stage_errors[stage]:.3f}",
        )
    terminal.console(stderr=True).print(table)


def write_sensitivity(path: Path, rows: list[Row]) -> None:
    """Print the table, and write the plot (.png) and the figures (.json)."""
    plot(rows, path.with_suffix(".png"))
    write_text(path.with_suffix(".json"), json.dumps([row.to_dict() for row in rows], indent=1), SENSITIVITY)
    print_sensitivity(rows)
