"""`maskrt inspect-data`: what a data set is made of, what it looks like, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskrt.runtime.commands.cli import say
from maskrt.runtime.commands.options import LabelledPair
from maskrt.runtime.commands.program import Program
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import PAGE
from maskrt.runtime.reports.html_page import html_page

if TYPE_CHECKING:
    from maskrt.training.data.faults import Finding

TEMPLATE = Path(__file__).with_name("inspect_data.html")


def command(
    data_spec: Annotated[str, typer.Argument(metavar="DATA", help="As for maskrt train --data")],
    *,
    val: Annotated[str | None, typer.Option(help="Validation data, to be held against DATA")] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The report, a page (HTML)"), Writes(PAGE)
    ] = Path("out/inspect-data.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout")] = False,
    min_instances: Annotated[int, typer.Option(min=0, help="Objects that a class should have")] = 10,
    overlays: Annotated[int, typer.Option(min=0, help="Pictures of each data set")] = 12,
    labelled: LabelledPair,
) -> None:
    """Count classes and sizes, draw annotations, and look for common faults.

    Example: maskrt inspect-data data/train --val data/val -o report.html
    """
    from maskrt.training.inspection import (  # what reads data is not needed for --help
        inspect,
        load_what_can_be,
    )

    given = [(data_spec, labelled.images)] + ([(val, labelled.val_images)] if val else [])
    loaded = [load_what_can_be(spec, images_dir=folder, **labelled.reading()) for spec, folder in given]
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
    write_text(output, html_page(TEMPLATE, report | {"pictures": pictures}), PAGE)
    if as_json:
        print(json.dumps(report))
    for survey, _, _ in inspected:
        say(f"{survey.name}: {survey.summary}")
    for finding in findings:
        say(str(finding))
    say(f"report: {output}")


main = Program("maskrt inspect-data", command)

if __name__ == "__main__":
    main()
