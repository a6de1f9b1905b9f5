"""`maskrt evaluate`: COCO AP of a model on annotated images."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from runtime.cli import run, track
from runtime.coco_metrics import KINDS, STATISTICS, coco_metrics
from runtime.files import write_text
from runtime.guard import Writes
from runtime.kinds import METRICS
from runtime.predictor import Predictor
from runtime.session import open_session
from runtime.siblings import load_dataset


def evaluate(predictor: Predictor, dataset: Any) -> dict[str, float]:
    """AP of a predictor over a dataset (training.data.Dataset): see `coco_metrics`.

    Raises DataError where the model's classes are not the dataset's.
    """
    dataset = dataset.with_classes(predictor.session.contract.classes)
    rows: list[dict[str, Any]] = []
    for index in track(range(len(dataset)), "Evaluating"):
        sample = dataset[index]
        rows += predictor(sample.image(), min_score=0)[0].to_coco(sample.image_id)
    return coco_metrics(dataset.to_coco(), rows, predictor.session.contract.task)


def command(
    model: Annotated[Path, typer.Argument(help="Model file: .onnx or a checkpoint (.pt)")],
    data: Annotated[str, typer.Option(help="Annotation file, its folder, or synthetic[:COUNT[:SEED]]")],
    format: Annotated[str, typer.Option(help="auto, or one of docs/training.md")] = "auto",
    images: Annotated[Path | None, typer.Option(help="Folder of the images, if not beside DATA")] = None,
    class_name: Annotated[
        str, typer.Option(help="VIA without class attributes: the class's name")
    ] = "object",
    class_attribute: Annotated[str | None, typer.Option(help="VIA region attribute with the class")] = None,
    skip_bad: Annotated[bool, typer.Option(help="Drop malformed annotations instead of stopping")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    backend: Annotated[
        str, typer.Option(help="Of ONNX on the CPU: onnxruntime, openvino, auto")
    ] = "onnxruntime",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the metrics (JSON)"), Writes(METRICS)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON on stdout")] = False,
) -> None:
    """Measure COCO AP: of boxes, and of what else the model finds.

    Example: maskrt evaluate model.onnx --data annotations/instances_val2017.json --images val2017
    """
    dataset = load_dataset(
        data,
        format=format,
        images_dir=images,
        skip_bad=skip_bad,
        class_name=class_name,
        class_attribute=class_attribute,
    )
    start = time.perf_counter()
    session = open_session(model, device=device, backend=backend)
    metrics = evaluate(Predictor(session), dataset)
    text = json.dumps({"model": str(model), "data": data, "images": len(dataset), **metrics})
    if output:
        write_text(output, text, METRICS)
    if as_json:
        print(text)
        return
    from rich.console import Console
    from rich.table import Table

    took_s = time.perf_counter() - start
    table = Table(title=f"{model} on {len(dataset)} images of {data} ({took_s:.0f} s)")
    table.add_column("COCO metric")
    kinds = KINDS[session.contract.task]
    for kind in kinds:
        table.add_column(kind, justify="right")
    for statistic in STATISTICS:
        values = (metrics.get(f"{kind}_{statistic}", -1) for kind in kinds)
        table.add_row(statistic, *("–" if v < 0 else f"{v:.4f}" for v in values))
    Console().print(table)


def main(args: list[str] | None = None) -> None:
    """Run the command with `args` (default: those of the process)."""
    run(command, "maskrt evaluate", args)


if __name__ == "__main__":
    main()
