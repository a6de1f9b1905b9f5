"""A parity report as one page: it needs no network, and opens from disk."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtime.parity.worst import Case

TEMPLATE = Path(__file__).with_name("page.html")
DATA = "/*DATA*/null"  # where the template takes the report


def page(facts: dict[str, Any], cases: list[Case], *, beside: Path | None) -> str:
    """The page of a report. facts: as written to JSON; beside: that JSON file, to link to it, or None."""
    data = {
        **{key: value for key, value in facts.items() if key != "per_image"},
        "instances": [row for image in facts["per_image"] for row in _rows(image)],
        "cases": [asdict(case) for case in cases],
        "json": beside.name if beside else None,
    }
    # A "</script>" in a file's name would end the script that holds the data.
    text = json.dumps(data).replace("<", "\\u003c")
    return TEMPLATE.read_text(encoding="utf-8").replace(DATA, text)


def _rows(image: dict[str, Any]) -> list[list[Any]]:
    """A row a matched instance: image, label, score, and its differences."""
    keys = (
        "labels",
        "scores",
        "score_differences",
        "box_differences_px",
        "mask_ious",
        "boundary_distances_px",
    )
    columns = [[_short(value) for value in image[key]] for key in keys]
    return [[image["image"], *row] for row in zip(*columns, strict=True)]


def _short(value: Any) -> Any:
    """Three digits of a float, so that ten thousand rows stay below a megabyte."""
    return float(f"{value:.3g}") if isinstance(value, float) else value
