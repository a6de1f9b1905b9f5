"""`maskrt evaluate`: COCO AP of a model on annotated images."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from maskrt.runtime import terminal
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.cli import track
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import METRICS, PAGE
from maskrt.runtime.options import Compute, Labelled, ModelFile, between
from maskrt.runtime.predictor import Predictor
from maskrt.runtime.program import Program
from maskrt.runtime.siblings import load_dataset
from maskrt.runtime.tasks.instances.measure.class_metrics import class_metrics, curves
from maskrt.runtime.tasks.instances.measure.coco import (
    KINDS,
    STATISTICS,
    coco_evaluations,
    coco_metrics,
    statistics,
)
from maskrt.runtime.tasks.instances.measure.confusion import confusion
from maskrt.runtime.tasks.instances.measure.page import check_matplotlib, page

END_CLASSES = 10  # shown of the best and of the worst


def evaluate(predictor: Predictor, dataset: Any) -> dict[str, float]:
    """AP of a predictor over a dataset (maskrt.training.data.Dataset): see `coco_metrics`.

    Raises DataError where the model's classes are not the dataset's.
    """
    contract = predictor.session.contract
    dataset = dataset.with_classes(contract.classes)
    return coco_metrics(dataset.to_coco(), predict(predictor, dataset), contract.old_task)


def predict(predictor: Predictor, dataset: Any) -> list[dict[str, Any]]:
    """COCO results of a predictor over a dataset of the model's classes, of every score."""
    rows: list[dict[str, Any]] = []
    for index in track(range(len(dataset)), "Evaluating"):
        sample = dataset[index]
        rows += predictor(sample.image(), min_score=0)[0].to_coco(sample.image_id)
    return rows


def examine(predictor: Predictor, dataset: Any, min_score: float) -> dict[str, Any]:
    """As `evaluate`, and by class: "per_class" and "curves" by kind, and the "confusion" above min_score."""
    contract = predictor.session.contract
    dataset = dataset.with_classes(contract.classes)
    truth, rows = dataset.to_coco(), predict(predictor, dataset)
    evaluations = coco_evaluations(truth, rows, contract.old_task)
    matrix = confusion(truth, rows, contract.classes, min_score=min_score)
    return {
        **statistics(evaluations),
        "per_class": {kind: class_metrics(one, contract.classes) for kind, one in evaluations.items()},
        "curves": {kind: curves(one, contract.classes) for kind, one in evaluations.items()},
        "confusion": matrix.to_dict(),
    }


def command(
    model: ModelFile,
    *,
    data: Annotated[str, typer.Option(help="Annotation file, its folder, or synthetic[:COUNT[:SEED]]")],
    labelled: Labelled,
    skip_bad: Annotated[bool, typer.Option(help="Drop malformed annotations instead of stopping")] = False,
    min_score: Annotated[
        float, typer.Option(callback=between(0, 1), help="Of the confusion matrix; AP takes every score")
    ] = 0.5,
    compute: Compute,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the metrics (JSON)"), Writes(METRICS)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page (.html): classes, curves, confusion"), Writes(PAGE)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON on stdout")] = False,
) -> None:
    """Measure COCO AP: of boxes, and of what else the model finds; of each class too, with --html or -o.

    Example: maskrt evaluate model.onnx --data annotations/instances_val2017.json --images val2017
    """
    if html:
        check_matplotlib()
    dataset = load_dataset(data, images_dir=labelled.images, skip_bad=skip_bad, **labelled.reading())
    start = time.perf_counter()
    session = open_session(model, **vars(compute))
    metrics = examine(Predictor(session), dataset, min_score)
    facts = {"model": str(model), "data": data, "images": len(dataset), **metrics}
    text = json.dumps(facts)
    if output:
        write_text(output, text, METRICS)
    if html:
        write_text(html, page(facts), PAGE)
    if as_json:
        print(text)
        return
    from rich.table import Table

    took_s = time.perf_counter() - start
    table = Table(title=f"{model} on {len(dataset)} images of {data} ({took_s:.0f} s)")
    table.add_column("COCO metric")
    kinds = KINDS[session.contract.old_task]
    for kind in kinds:
        table.add_column(kind, justify="right")
    for statistic in STATISTICS:
        values = (metrics.get(f"{kind}_{statistic}", -1) for kind in kinds)
        table.add_row(statistic, *("–" if v < 0 else f"{v:.4f}" for v in values))
    console = terminal.console()
    console.print(table)
    if len(session.contract.classes) > 1:
        _print_classes(console, metrics["per_class"])


def _print_classes(console: Any, per_class: dict[str, list[dict[str, Any]]]) -> None:
    """AP of the classes that the data has, the best first; of many, those at both ends."""
    from rich.markup import escape
    from rich.table import Table

    first = next(iter(per_class))
    there = [k for k, row in enumerate(per_class[first]) if row["ap"] is not None]
    there.sort(key=lambda k: -per_class[first][k]["ap"])
    table = Table(title="AP of each class")
    table.add_column("class")
    table.add_column("objects", justify="right")
    for kind in per_class:
        table.add_column(kind, justify="right")
    ends = there if len(there) <= 2 * END_CLASSES else there[:END_CLASSES] + there[-END_CLASSES:]
    for number, k in enumerate(ends):
        if number == END_CLASSES and len(ends) < len(there):
            table.add_row(f"… {len(there) - len(ends)} more: -o, --html")
        row = per_class[first][k]
        values = (rows[k]["ap"] for rows in per_class.values())
        figures = ("–" if v is None else f"{v:.4f}" for v in values)
        table.add_row(escape(row["name"]), str(row["instances"]), *figures)
    console.print(table)


main = Program("maskrt evaluate", command)

if __name__ == "__main__":
    main()
