"""A parity report as one page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from maskrt.runtime.parity.report import Report, counts, shown, spreads
from maskrt.runtime.reports.html_page import html_page
from maskrt.runtime.tasks.metric import Metric
from maskrt.runtime.tasks.rows import Row, jsonable

TEMPLATE = Path(__file__).with_name("page.html")


def page(facts: dict[str, Any], report: Report, scored: Metric, *, beside: Path | None) -> str:
    """The page of a report. facts: as written to JSON; scored: names what annotated images are scored by;
    beside: that JSON file, to link to it, or None."""
    results = report.results
    detail = results.detail
    data = {
        **{key: value for key, value in facts.items() if key != "per_image"},
        "heading": results.things.capitalize(),
        "every": detail.title,
        "title": f"{results.title} in {len(results.images)} images",
        "rows": [_row(row) for row in shown(spreads(results.rows))],
        "counts": [
            {"name": one.name, "total": one.total, "note": one.note, "allowed": one.allowed}
            for one in counts(results.rows)
        ],
        "task_title": scored.title,
        "columns": detail.columns,
        "sorted_by": detail.sorted_by,
        "things": [[_short(value) for value in row] for row in detail.rows],
        "cases": [asdict(case) for case in results.cases],
        "json": beside.name if beside else None,
    }
    return html_page(TEMPLATE, jsonable(data))


def _row(row: Row) -> dict[str, Any]:
    """Its name, the median and the bad end of its values, and what is allowed."""
    spread = row.spread or {}
    tail = ("p10", "p1", "min") if row.at_least else ("p90", "p99", "max")
    return {
        "label": row.label,
        "figures": [spread.get(name) for name in ("median", *tail)],
        "allowed": row.allowed,
    }


def _short(value: Any) -> Any:
    """Three digits of a float, so that ten thousand rows stay below a megabyte."""
    return float(f"{value:.3g}") if isinstance(value, float) else value
