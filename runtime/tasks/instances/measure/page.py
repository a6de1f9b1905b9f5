"""An evaluation as one page: the figures of each class, precision over recall, and what is taken for what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maskrt.runtime.reports.html_page import html_page
from maskrt.runtime.reports.matrix import label, matrix_picture, png_url
from maskrt.runtime.tasks.instances.measure.class_metrics import CURVES_AT, mean_curve

TEMPLATE = Path(__file__).with_name("evaluation.html")
CLASSES_DRAWN = 12  # curves in one picture that eyes can tell apart, the largest classes
MATRIX_CLASSES = 30  # of a confusion matrix that is drawn, the largest; all are in the JSON


def page(facts: dict[str, Any]) -> str:
    """The page of an evaluation. facts: as written to JSON."""
    pictures = [
        {
            "title": f"Precision over recall, {kind}",
            "image": _curves(facts["per_class"][kind], facts["curves"][kind]),
        }
        for kind in facts["curves"]
    ]
    matrix = facts["confusion"]
    title = f"Confusion at scores above {matrix['min_score']:g} and box IoU {matrix['iou']:g}"
    pictures.append({"title": title, "image": _matrix(matrix)})
    shown = {key: value for key, value in facts.items() if key not in ("curves", "confusion")}
    return html_page(TEMPLATE, shown | {"pictures": pictures})


def _curves(classes: list[dict[str, Any]], curves: dict[str, Any]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    names = {str(row["id"]): row["name"] for row in classes}
    largest = sorted(classes, key=lambda row: -row["instances"])[:CLASSES_DRAWN]
    for axes, (name, iou) in zip(figure.subplots(1, 2), CURVES_AT.items(), strict=True):
        for row in largest:
            values = curves[name].get(str(row["id"]))
            if values:
                axes.plot(curves["recall"], values, linewidth=1, label=label(names[str(row["id"])]))
        if mean := mean_curve(curves[name]):
            axes.plot(curves["recall"], mean, color="black", linewidth=2, label="mean of all classes")
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title=f"IoU {iou:g}")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=7, loc="lower left")
    return png_url(figure)


def _matrix(matrix: dict[str, Any]) -> str:
    counts = np.array(matrix["counts"], float)
    objects = counts[:-1].sum(1) + counts[:, :-1].sum(0)
    kept = np.sort(np.argsort(-objects, kind="stable")[:MATRIX_CLASSES])
    order = [*kept.tolist(), len(counts) - 1]
    counts = counts[np.ix_(order, order)]
    names = [label(matrix["classes"][k]) for k in kept]
    return matrix_picture(counts, [*names, "no object"], [*names, "missed"], ("found as", "is"), "{:.0f}")
