"""Matterport's way of working, for code written for it (docs/from-matterport.md).

Subclass `Dataset`, describe the images with `add_class` and `add_image`, give their masks in `load_mask`;
subclass `Config`; call `train`. What comes out is a checkpoint like any other.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import maskrt.training.data as data
from maskrt.models.checkpoint import Checkpoint
from maskrt.runtime.commands.cli import track
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import DataError, ImageError
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.siblings import load_checkpoint
from maskrt.training.data import masks
from maskrt.training.data.problems import Flaw, Problems
from maskrt.training.data.sample import Instance, Sample
from maskrt.training.matterport_config import Config, settings
from maskrt.training.run import train as train_detector

__all__ = ["Config", "Dataset", "train"]


class Dataset:
    """Images and masks from anywhere. Override `load_mask`, and `load_image` where pixels are made.

    image_info: a dictionary an image, {"id", "source", "path", …}; its index is the image_id of the methods.
    """

    def __init__(self) -> None:
        self.image_info: list[dict[str, Any]] = []
        self.class_info: list[dict[str, Any]] = [{"source": "", "id": 0, "name": "BG"}]

    def add_class(self, source: str, class_id: int, class_name: str) -> None:
        """Name a class. Its place in `class_info` is what `load_mask` gives; `class_id` stays in results."""
        if not any(c["source"] == source and c["id"] == class_id for c in self.class_info):
            self.class_info.append({"source": source, "id": class_id, "name": class_name})

    def add_image(self, source: str, image_id: Any, path: str | Path | None, **more: Any) -> None:
        """Add an image, with whatever else `load_mask` is to find in its `image_info`."""
        self.image_info.append({"id": image_id, "source": source, "path": path, **more})

    def load_image(self, image_id: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, RGB, upright: the file at its path."""
        return read_image(self.image_info[image_id]["path"])

    def load_mask(self, image_id: int) -> tuple[NDArray, NDArray]:
        """(H, W, G) masks, non-zero where the object is, and (G,) places of their classes in `class_info`."""
        raise NotImplementedError(f"{type(self).__name__} must override load_mask")

    def image_reference(self, image_id: int) -> str:
        """Name of an image in messages."""
        info = self.image_info[image_id]
        return str(info["path"] or info["id"])

    def prepare(self) -> None:
        """Do nothing: there is nothing to prepare. It is there for code that calls it."""

    @property
    def class_names(self) -> list[str]:
        """Names by place in `class_info`, "BG" first."""
        return [c["name"] for c in self.class_info]

    @property
    def num_classes(self) -> int:
        """Number of classes, with background."""
        return len(self.class_info)

    @property
    def image_ids(self) -> NDArray[np.intp]:
        """Indices of `image_info`."""
        return np.arange(len(self.image_info))

    def to_dataset(self, *, skip_bad: bool = False) -> data.Dataset:
        """Convert to maskrt's own data set; every mask is read once and kept as RLE.

        skip_bad: leave out what is faulty and count it in `dropped`. Raises DataError, which lists it.
        """
        name = type(self).__name__
        ids = [c["id"] for c in self.class_info[1:]]
        if not ids or len(set(ids)) != len(ids):
            raise DataError(
                f"{name}: class ids are {ids}, expected at least one, all different. See add_class."
            )
        problems = Problems(Path(name), skip="skip_bad=True")
        samples = []
        for image_id in track(range(len(self.image_info)), f"Reading {name}"):
            with problems.noting(self.image_reference(image_id)):
                samples.append(self._sample(image_id, problems))
        dropped = problems.raise_or_count(skip_bad)
        if not any(sample.instances for sample in samples):
            raise DataError(f"{name}: {len(samples)} images without any object. See add_image and load_mask.")
        classes = tuple(Category(c["id"], c["name"]) for c in self.class_info[1:])
        return data.Dataset(name, classes, samples, dropped)

    def _sample(self, image_id: int, problems: Problems) -> Sample:
        source = self.image_reference(image_id)
        try:
            size = self.load_image(image_id).shape[:2]
        except ImageError as error:
            raise Flaw("unreadable_image", str(error)) from None
        given, classes = (np.asarray(one) for one in self.load_mask(image_id))
        if given.ndim != 3 or (given.shape[2] and given.shape[:2] != size):
            raise Flaw("mask_size", f"masks are {given.shape}, expected {(*size, 'objects')} as the image is")
        if classes.shape != given.shape[2:]:
            raise Flaw("malformed", f"class_ids are {classes.shape}, expected {given.shape[2:]}, one a mask")
        instances = []
        for number, place in enumerate(classes.tolist()):
            with problems.noting(source, number):
                if not 1 <= place < len(self.class_info):
                    raise Flaw(
                        "unknown_category", f"class is {place}, expected 1 to {len(self.class_info) - 1}"
                    )
                rle = masks.mask_rle(given[:, :, number] != 0)
                area = masks.checked_area(rle)
                instances.append(Instance(number, place - 1, rle, masks.tight_box(rle), area, is_crowd=False))
        read = partial(self.load_image, image_id)
        return Sample(image_id + 1, source, size[0], size[1], tuple(instances), read)


def train(
    dataset: Dataset,
    validation: Dataset | None,
    config: Config,
    output: str | Path,
    *,
    weights: str | Path | None = None,
    epochs: int | None = None,
    layers: str = "all",
    resume: bool = False,
    skip_bad: bool = False,
) -> Checkpoint:
    """Train as `maskrt train` does; best.pt is in `output`.

    weights: "imagenet" for the backbone alone; a checkpoint's file, whose last layers are left out where
    its classes are others; or None for random ones. layers: as `training.layers` has it: "heads:20,all"
    trains the heads for 20 epochs and then everything. Raises MaskrtError.
    """
    start = load_checkpoint(weights) if weights not in (None, "imagenet") else None
    model_config, run_config = settings(config, start=start, epochs=epochs, layers=layers)
    return train_detector(
        dataset.to_dataset(skip_bad=skip_bad),
        validation.to_dataset(skip_bad=skip_bad) if validation else None,
        model_config,
        run_config,
        Path(output),
        backbone_weights="imagenet" if weights == "imagenet" else None,
        start=start,
        resume=resume,
        provenance={"data": type(dataset).__name__, "start": str(weights)},
    )
