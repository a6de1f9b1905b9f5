"""Plot of the timings of `maskrt bench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskrt.runtime.errors import MaskrtError, MissingDependencyError
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.kinds import PLOT
from maskrt.runtime.packages import install

SUFFIXES = (".png", ".svg", ".pdf")


def check_plot(path: Path) -> None:
    """Raise MaskrtError, before anything is measured, for an unknown kind of picture file."""
    if path.suffix.lower() not in SUFFIXES:
        raise MaskrtError(f"{path}: cannot be drawn. Name it {' or '.join(SUFFIXES)}.")


def plot_timings(timings: Mapping[str, Sequence[Any]], path: Path) -> None:
    """Draw a bar for each maskrt.runtime.bench.Timing, from zero to its median, with p10 to p90.

    Each canvas has a panel. Raises MissingDependencyError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: --plot needs matplotlib. Install it: {install('train')}"
        ) from error
    models = max(len(panel) for panel in timings.values())
    figure = Figure(figsize=(8, 1 + 0.5 * models * len(timings)), layout="constrained")
    panels = figure.subplots(len(timings), squeeze=False)[:, 0]
    for axes, (canvas, panel) in zip(panels, timings.items(), strict=True):
        spread_ms = [
            [max(t.median_ms - t.p10_ms, 0) for t in panel],
            [max(t.p90_ms - t.median_ms, 0) for t in panel],
        ]
        places = range(len(panel))
        axes.barh(places, [t.median_ms for t in panel], xerr=spread_ms, capsize=3)
        axes.set_yticks(places, [t.model for t in panel])
        axes.invert_yaxis()
        axes.set_xlabel(f"ms a call on {canvas}, median and p10 to p90")
    with atomic_path(path, PLOT) as temporary:
        figure.savefig(temporary)
