"""Chooses the images to calibrate on, and identifies them by a hash of their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.commands.cli import say, track
from maskrt.runtime.contract import Canvas
from maskrt.runtime.errors import DataError, ImageError
from maskrt.runtime.inputs.images import find_images, read_image
from maskrt.runtime.preprocess import Batch, preprocess
from maskrt.runtime.siblings import load_dataset

WANTED = 500  # images; TensorRT's documentation names as many for ImageNet networks
FEWEST_GREYS = 8  # distinct values a channel; an image with fewer is blank, and shows no activation at work


@dataclass(frozen=True)
class CalibrationImage:
    """An image that is decoded when asked for."""

    name: str
    read: Callable[[], NDArray[np.uint8]]


def find(spec: str, limit: int, folder: Path | None = None) -> list[CalibrationImage]:
    """Find at most `limit` images, evenly spread over those that `spec` names: files, a folder, a glob, an
    annotation file, or synthetic[:COUNT[:SEED]]. Annotations are not used.

    folder: of the images that an annotation file names, if not beside it. Raises DataError for none at all,
    ImageError where no file is found.
    """
    if spec.startswith("synthetic") or Path(spec).suffix == ".json":
        dataset = load_dataset(spec, images_dir=folder)
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


def readable(images: list[CalibrationImage]) -> tuple[list[CalibrationImage], str]:
    """The images that can be decoded, and the SHA-256 of all their pixels, in order. The others are reported.

    Raises DataError where none can be, or most are blank.
    """
    total = hashlib.sha256()
    kept, blank = [], []
    for image in track(images, "Reading"):
        try:
            pixels = image.read()
        except ImageError as error:
            say(f"skipped {error}")
            continue
        kept.append(image)
        total.update(str(pixels.shape).encode())
        total.update(pixels.tobytes())
        if len(np.unique(pixels[::4, ::4])) < FEWEST_GREYS:
            blank.append(image.name)
    if not kept:
        raise DataError(f"none of {len(images)} images can be decoded. Name others: --data FOLDER")
    if 2 * len(blank) > len(kept):
        raise DataError(
            f"{len(blank)} of {len(kept)} calibration images are blank (such as {blank[0]}): the ranges of "
            "such data clip every real image. Use images like those the model will see."
        )
    return kept, total.hexdigest()


def batches(images: list[CalibrationImage], canvas: Canvas, batch: int | None) -> Iterator[Batch]:
    """Yield each image as a batch on the model's canvas, repeated where the model takes a fixed number."""
    for image in images:
        yield preprocess([image.read()] * (batch or 1), canvas)
