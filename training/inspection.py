"""One pass over annotated data: counts, faults and pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

import maskrt.training.data as data
from maskrt.runtime.commands.cli import track
from maskrt.runtime.errors import ImageError
from maskrt.runtime.reports.html_page import jpeg_url
from maskrt.runtime.tasks import task_named
from maskrt.training.data.faults import Faults
from maskrt.training.data.problems import MalformedDataError, Problem
from maskrt.training.data.survey import Survey

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
    pictures, task = [], task_named(dataset.task)
    for index in track(range(len(dataset)), f"Inspecting {dataset.name}"):
        sample = dataset[index]
        survey.add(sample)
        faults.add(sample)
        if index in shown:
            try:
                picture = jpeg_url(task.draw(sample.image(), task.truth(sample, dataset)), OVERLAY_SIDE_PX)
            except ImageError:
                continue  # among the faults
            count = "" if dataset.has_labels else f": {len(sample.instances)} objects"
            title = f"{sample.source}{count}"
            pictures.append({"data": dataset.name, "title": title, "image": picture})
    return survey, faults, pictures
