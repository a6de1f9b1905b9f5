"""`maskrt evaluate`: how good a model is on annotated images."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from maskrt.runtime.backends.open import open_session
from maskrt.runtime.commands import terminal
from maskrt.runtime.commands.cli import track
from maskrt.runtime.commands.options import Compute, Labelled, ModelFile, between
from maskrt.runtime.commands.program import Program
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import METRICS, PAGE
from maskrt.runtime.parity.judgement import end_with, judge_on, show
from maskrt.runtime.parity.judgement import facts as facts_of
from maskrt.runtime.parity.options import Allowed
from maskrt.runtime.parity.sides import open_reference
from maskrt.runtime.predictor import Predictor
from maskrt.runtime.reports.html_page import check_matplotlib
from maskrt.runtime.siblings import load_dataset
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.metric import Metric


def evaluate(predictor: Predictor, dataset: Any) -> dict[str, float]:
    """The figures of a predictor over a dataset (maskrt.training.data.Dataset), by its task's metric.

    Raises DataError where the model's classes are not the dataset's.
    """
    metric, dataset = _ready(predictor, dataset)
    return metric.figures(dataset, predict(predictor, dataset, metric))


def examine(predictor: Predictor, dataset: Any, min_score: float) -> dict[str, Any]:
    """Compute the figures and more: of each class, and of the results above min_score."""
    metric, dataset = _ready(predictor, dataset)
    return metric.examine(dataset, predict(predictor, dataset, metric), min_score)


def predict(predictor: Predictor, dataset: Any, metric: Metric) -> list[Any]:
    """The metric's parts of a predictor over a dataset of the model's classes, of every score."""
    parts = []
    for index in track(range(len(dataset)), "Evaluating"):
        sample = dataset[index]
        parts.append(metric.part(sample, predictor(sample.image(), min_score=0)[0]))
    return parts


def _ready(predictor: Predictor, dataset: Any) -> tuple[Metric, Any]:
    contract = predictor.session.contract
    return task_of(contract).metric(contract), dataset.for_model(contract.task, contract.classes)


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
    against: Annotated[Path | None, typer.Option(help="Judge what it loses against this model")] = None,
    allowed: Allowed,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the metrics (JSON)"), Writes(METRICS)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page (.html): classes, curves, confusion"), Writes(PAGE)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON on stdout")] = False,
) -> None:
    """Measure COCO AP, or a class map's mean IoU, by class too.

    With --against: does it lose too much, as maskrt calibrate and maskrt parity judge it? Exit
    code 1 if so, 4 where these images cannot tell.

    Example: maskrt evaluate model.onnx --data annotations/instances_val2017.json --images val2017
    """
    allowed.check_judged(against)
    if html:
        check_matplotlib()
    dataset = load_dataset(data, images_dir=labelled.images, skip_bad=skip_bad, **labelled.reading())
    start = time.perf_counter()
    session = open_session(model, **vars(compute))
    metric = task_of(session.contract).metric(session.contract)
    report = None
    if against:
        reference = open_reference(against, compute.device, session.contract)
        report, parts = judge_on(reference, session, dataset, allowed)
        fitting = dataset.for_model(session.contract.task, session.contract.classes)
        metrics = metric.examine(fitting, parts, min_score)
        metrics["against"] = {"model": str(against), **facts_of(report)}
    else:
        metrics = examine(Predictor(session), dataset, min_score)
    facts = {"model": str(model), "data": data, "images": len(dataset), **metrics}
    text = json.dumps(facts)
    if output:
        write_text(output, text, METRICS)
    if html:
        write_text(html, metric.page(facts), PAGE)
    if as_json:
        print(text)
    else:
        took_s = time.perf_counter() - start
        title = f"{model} on {len(dataset)} images of {data} ({took_s:.0f} s)"
        for table in metric.tables(facts, title):
            terminal.console().print(table)
    if report:
        show(report, f"{model} against {against}")
        end_with(report)


main = Program("maskrt evaluate", command)

if __name__ == "__main__":
    main()
