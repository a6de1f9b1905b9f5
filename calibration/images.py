"""The images to calibrate on: how many, which, and what identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.cli import track
from runtime.contract import Canvas
from runtime.errors import DataError
from runtime.preprocess import Batch, preprocess
from runtime.siblings import load_dataset
from runtime.sources import find_images, read_image

WANTED = 500  # images; TensorRT's documentation names as many for ImageNet networks
FEWEST_GREYS = 8  # distinct values a channel; an image with fewer is blank, and shows no activation at work


@dataclass(frozen=True)
class CalibrationImage:
    """An image that is decoded when asked for."""

    name: str
    read: Callable[[], NDArray[np.uint8]]


def find(spec: str, limit: int) -> list[CalibrationImage]:
    """At most `limit` images, evenly spread over what `spec` names: files, a folder, a glob, an annotation
    file, or synthetic[:COUNT[:SEED]]. Annotations are not used.

    Raises DataError for none at all, ImageError where no file is found.
    """
    if spec.startswith("synthetic") or Path(spec).suffix == ".json":
        dataset = load_dataset(spec)
        images = [CalibrationImage(sample.source, sample.image) for sample in dataset]
    else:
        images = [CalibrationImage(str(path), partial(read_image, path)) for path in find_images([spec])]
    if not images or limit < 1:
        raise DataError(
            f"{spec}: {len(images)} images, of which {limit} are asked for; calibration needs some, and "
            f"{WANTED} to know the rare values. Name images like those the model will see: --data FOLDER"
        )
    rows = np.linspace(0, len(images) - 1, min(limit, len(images))).round().astype(int)
    return [images[row] for row in rows]


def digest(images: list[CalibrationImage]) -> str:
    """SHA-256 of all pixels, in order. Raises DataError where most images are blank."""
    total = hashlib.sha256()
    blank = []
    for image in track(images, "Reading"):
        pixels = image.read()
        total.update(str(pixels.shape).encode())
        total.update(pixels.tobytes())
        if len(np.unique(pixels[::4, ::4])) < FEWEST_GREYS:
            blank.append(image.name)
    if 2 * len(blank) > len(images):
        raise DataError(
            f"{len(blank)} of {len(images)} calibration images are blank (such as {blank[0]}): the ranges of "
            "such data clip every real image. Use images like those the model will see."
        )
    return total.hexdigest()


def batches(images: list[CalibrationImage], canvas: Canvas, batch: int | None) -> Iterator[Batch]:
    """Each image on the model's canvas, repeated where the model takes a fixed number."""
    for image in images:
        yield preprocess([image.read()] * (batch or 1), canvas)
