"""`maskrt inspect-data`: what a data set is made of, what it looks like, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import training.data as data
from runtime.cli import run, say, track
from runtime.draw import draw
from runtime.errors import ImageError
from runtime.files import write_text
from runtime.html_page import html_page, jpeg_url
from training.data.faults import Faults, Finding
from training.data.problems import MalformedDataError, Problem
from training.data.survey import Survey
from training.plots import ground_truth

TEMPLATE = Path(__file__).with_name("inspect_data.html")
OVERLAY_SIDE_PX = 480


def load_what_can_be(spec: str, **options: Any) -> tuple[data.Dataset, list[Problem]]:
    """A data set without what is malformed in it, and that. Raises DataError where nothing is left."""
    try:
        return data.load_dataset(spec, **options), []
    except MalformedDataError as error:
        return data.load_dataset(spec, skip_bad=True, **options), error.problems


def inspect(
    dataset: data.Dataset, problems: list[Problem], overlays: int
) -> tuple[Survey, Faults, list[dict[str, str]]]:
    """One pass over a data set: counts, faults, and pictures of `overlays` of its images, evenly spread."""
    survey, faults = Survey(dataset), Faults(problems)
    shown = set(np.linspace(0, len(dataset) - 1, min(overlays, len(dataset))).astype(int).tolist())
    pictures = []
    for index in track(range(len(dataset)), f"Inspecting {dataset.name}"):
        sample = dataset[index]
        survey.add(sample)
        faults.add(sample)
        if index in shown:
            try:
                picture = jpeg_url(draw(sample.image(), ground_truth(sample, dataset)), OVERLAY_SIDE_PX)
            except ImageError:
                continue  # among the faults
            title = f"{sample.source}: {len(sample.instances)} objects"
            pictures.append({"data": dataset.name, "title": title, "image": picture})
    return survey, faults, pictures


def command(
    data_spec: Annotated[str, typer.Argument(metavar="DATA", help="As for maskrt train --data")],
    val: Annotated[str | None, typer.Option(help="Validation data, to be held against DATA")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The report, a page (HTML)")] = Path(
        "out/inspect-data.html"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout")] = False,
    min_instances: Annotated[int, typer.Option(min=0, help="Objects that a class should have")] = 10,
    overlays: Annotated[int, typer.Option(min=0, help="Pictures of each data set")] = 12,
    format: Annotated[str, typer.Option(help="auto, or one of docs/training.md")] = "auto",
    images: Annotated[Path | None, typer.Option(help="Folder of DATA's images")] = None,
    val_images: Annotated[Path | None, typer.Option(help="Folder of VAL's images")] = None,
    class_name: Annotated[str, typer.Option(help="Class of a format without any")] = "object",
    class_attribute: Annotated[str | None, typer.Option(help="VIA region attribute with the class")] = None,
) -> None:
    """Count classes and sizes, draw annotations, and look for common faults.

    Example: maskrt inspect-data data/train --val data/val -o report.html
    """
    options: dict[str, Any] = {"class_name": class_name, "class_attribute": class_attribute, "format": format}
    given = [(data_spec, images)] + ([(val, val_images)] if val else [])
    loaded = [load_what_can_be(spec, images_dir=folder, **options) for spec, folder in given]
    inspected = [inspect(dataset, problems, overlays) for dataset, problems in loaded]
    training = (inspected[0][0], inspected[0][1])
    findings: list[Finding] = []
    for survey, faults, _ in inspected:
        against = training if survey is not training[0] else None
        findings += faults.findings(survey, training=against, min_instances=min_instances)
    report = {
        "data": [survey.to_dict() for survey, _, _ in inspected],
        "findings": [finding.to_dict() for finding in findings],
    }
    pictures = [picture for _, _, of_one in inspected for picture in of_one]
    write_text(output, html_page(TEMPLATE, report | {"pictures": pictures}))
    if as_json:
        print(json.dumps(report))
    for survey, _, _ in inspected:
        counts = ", ".join(f"{c.name} {survey.instances[k]}" for k, c in enumerate(survey.classes[:10]))
        say(f"{survey.name}: {len(survey.per_image)} images, {sum(survey.per_image)} objects: {counts}")
    for finding in findings:
        say(str(finding))
    say(f"report: {output}")


def main(args: list[str] | None = None) -> None:
    """Run the command with `args` (default: those of the process)."""
    run(command, "maskrt inspect-data", args)


if __name__ == "__main__":
    main()
