"""A parity report as one page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from maskrt.runtime.reports.html_page import html_page
from maskrt.runtime.tasks.instances.compare.worst import Case

TEMPLATE = Path(__file__).with_name("page.html")


def page(facts: dict[str, Any], cases: list[Case], *, beside: Path | None) -> str:
    """The page of a report. facts: as written to JSON; beside: that JSON file, to link to it, or None."""
    data = {
        **{key: value for key, value in facts.items() if key != "per_image"},
        "instances": [row for image in facts["per_image"] for row in _rows(image)],
        "cases": [asdict(case) for case in cases],
        "json": beside.name if beside else None,
    }
    return html_page(TEMPLATE, data)


def _rows(image: dict[str, Any]) -> list[list[Any]]:
    """A row a matched instance: image, label, score, and its differences."""
    keys = (
        "labels",
        "scores",
        "score_differences",
        "box_differences_px",
        "mask_ious",
        "boundary_distances_px",
        "keypoint_differences_px",
    )
    columns = [[_short(value) for value in image[key]] for key in keys]
    return [[image["image"], *row] for row in zip(*columns, strict=True)]


def _short(value: Any) -> Any:
    """Three digits of a float, so that ten thousand rows stay below a megabyte."""
    return float(f"{value:.3g}") if isinstance(value, float) else value
