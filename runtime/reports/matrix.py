"""A confusion matrix as a picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS_UP_TO = 15  # classes, with the counts written into the matrix
CHARACTERS = 24  # of a class's name as a label
DPI = 110


def matrix_picture(
    counts: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    axes: tuple[str, str],
    text: str,
) -> str:
    """Data URL of a PNG: the share of its row that each cell has, in blue.

    axes: what columns and rows are; text: the format of a count that is written into a small matrix.
    """
    from matplotlib.figure import Figure

    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 3 + 0.28 * len(counts)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    drawn = figure.subplots()
    picture = drawn.imshow(share, vmin=0, vmax=1, cmap="Blues")
    drawn.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8)
    drawn.set_yticks(range(len(rows)), rows, fontsize=8)
    drawn.set(xlabel=axes[0], ylabel=axes[1])
    if len(counts) <= NUMBERS_UP_TO + 1:
        for (i, j), count in np.ndenumerate(counts):
            if count:
                colour = "white" if share[i, j] > 0.5 else "black"
                cell = text.format(count, share[i, j])
                drawn.text(j, i, cell, ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(picture, label="share of the row", shrink=0.7)
    return png_url(figure)


def label(name: str) -> str:
    """A class's name as a label; a dollar sign would begin a formula."""
    name = name.replace("$", r"\$")
    return name if len(name) <= CHARACTERS else f"{name[: CHARACTERS - 1]}…"


def png_url(figure: Any) -> str:
    """Data URL of one of matplotlib's figures."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
