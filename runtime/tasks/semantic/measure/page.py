"""An evaluation as one page: the figures, those of each class, and what is taken for what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskrt.runtime.reports.html_page import html_page
from maskrt.runtime.reports.matrix import label, matrix_picture

TEMPLATE = Path(__file__).with_name("evaluation.html")
MATRIX_CLASSES = 40  # that are drawn, the largest; all are in the JSON


def page(facts: dict[str, Any], named: Mapping[str, str]) -> str:
    """The page of an evaluation. facts: as written to JSON; named: the figures, for people."""
    shown = {key: value for key, value in facts.items() if key != "confusion"}
    matrix = _matrix(facts["confusion"])
    return html_page(TEMPLATE, shown | {"matrix": matrix, "named": dict(named)})


def _matrix(matrix: dict[str, Any]) -> str:
    counts = np.array(matrix["counts"], float)
    largest = np.argsort(-(counts.sum(1) + counts.sum(0)), kind="stable")[:MATRIX_CLASSES]
    kept = np.sort(largest)
    names = [label(matrix["classes"][k]) for k in kept]
    return matrix_picture(counts[np.ix_(kept, kept)], names, names, ("found as", "is"), "{1:.0%}")
