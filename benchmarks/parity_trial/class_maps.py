"""Faults of networks that give a class map, planted in small FCN-8s of both geometries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from onnx import NodeProto, helper

from benchmarks.parity_trial.faults import Planted
from benchmarks.parity_trial.graph import (
    Model,
    behind,
    change_constant,
    constant,
    operators,
    set_attribute,
    through,
)
from maskrt.models import find_family
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.fcn.config import FcnConfig
from maskrt.models.fcn.random_weights import randomise
from maskrt.runtime.contract import Category

CLASSES = 6
LAST_CROP_PX = 31  # of the published FCN-8s, where the canvas lies in its last scores
SIZES = {"same": (128, 160), "caffe": (70, 90)}  # height, width of the canvas; of any size in the second


def small_checkpoint(geometry: str, folder: Path, picture: np.ndarray) -> Path:
    """FCN-8s with random weights, narrow enough that a fault takes seconds."""
    height, width = SIZES[geometry]
    norm = "bn" if geometry == "same" else "none"
    config = FcnConfig(
        num_classes=CLASSES,
        width=0.0625,
        fc_channels=16,
        geometry=geometry,
        norm=norm,
        placement="corner",
        min_size_px=height,
        max_size_px=width,
    )
    torch.manual_seed(0)
    model = randomise(find_family("fcn").build(config), picture)
    classes = tuple(Category(i, f"class {i}") for i in range(CLASSES))
    path = folder / f"{geometry}.pt"
    Checkpoint(config=config, classes=classes, state_dict=model.state_dict()).save(path)
    return path


def all_faults(geometry: str) -> Iterator[Planted]:
    """Every fault of a geometry."""
    yield Planted("BGR for RGB", "canvas", "channels are reversed", _bgr)
    if geometry == "same":
        yield from _resizes()
        yield from _labels()
    else:
        yield Planted("a last crop one pixel off", "semantic", "crop, or padding, is off", _crop)
        yield Planted(
            "pooling by floor, not ceil", "refused|pool[345]", "failed on a canvas|its shape", _floor
        )


def _resizes() -> Iterator[Planted]:
    for number, stage in enumerate(("score16", "score8", "semantic")):
        for mode in ("align_corners", "asymmetric"):
            yield Planted(
                f"{mode} in the enlargement to {stage}",
                stage,
                "align_corners|upsampling|padding, is off|possible",
                lambda model, number=number, mode=mode: set_attribute(
                    operators(model, "Resize")[number], "coordinate_transformation_mode", mode
                ),
            )


def _labels() -> Iterator[Planted]:
    scores = "resize.2"
    swapped, shifted = np.arange(CLASSES), np.roll(np.arange(CLASSES), 1)
    swapped[[1, 2]] = 2, 1
    yield Planted(
        "two classes exchanged",
        "semantic",
        "numbered otherwise",
        lambda model: behind(model, scores, through("Gather", swapped, axis=1)),
    )
    yield Planted(
        "a background counted twice",
        "semantic",
        "a background counted or not|numbered otherwise",
        lambda model: behind(model, scores, through("Gather", shifted, axis=1)),
    )
    moved = np.array([0, 0, 1, 0, 0, 0, -1, 0], np.int64)
    yield Planted(
        "scores a pixel lower",
        "semantic",
        "1 px lower and 0 px further right",
        lambda model: behind(model, scores, through("Pad", moved, mode="edge")),
    )
    yield Planted("labels resized bilinearly", "semantic", "labels of neither", _interpolated)


def _bgr(model: Model) -> None:
    behind(model, "images", through("Gather", np.array([2, 1, 0]), axis=3))


def _crop(model: Model) -> None:
    given = {one.name for one in model.graph.initializer}
    crops = [node.input for node in operators(model, "Slice") if {*node.input[1:3]} <= given]
    ends = {
        name for names in crops if constant(model, names[1]).item() == LAST_CROP_PX for name in names[1:3]
    }
    for name in ends:
        change_constant(model, name, lambda old: old + 1)


def _floor(model: Model) -> None:
    for node in operators(model, "MaxPool"):
        set_attribute(node, "ceil_mode", 0)


def _interpolated(model: Model) -> None:
    """The map made half as large by the nearest pixel, and enlarged again between labels."""

    def make(tensor: str, new: str) -> list[NodeProto]:
        sizes = [np.array(scale, np.float32) for scale in ([1, 1, 0.5, 0.5], [1, 1, 2, 2])]
        given = [through("Identity", scale)("", f"{new}.{place}")[0] for place, scale in enumerate(sizes)]
        half, whole = (node.output[0] for node in given)
        one = through("Identity", np.array([1], np.int64))("", f"{new}.axis")[0]
        axis = one.output[0]
        steps = [
            helper.make_node("Cast", [tensor], [f"{new}.f"], to=1),
            helper.make_node("Unsqueeze", [f"{new}.f", axis], [f"{new}.u"]),
            helper.make_node("Resize", [f"{new}.u", "", half], [f"{new}.h"], mode="nearest"),
            helper.make_node("Resize", [f"{new}.h", "", whole], [f"{new}.w"], mode="linear"),
            helper.make_node("Squeeze", [f"{new}.w", axis], [f"{new}.s"]),
            helper.make_node("Round", [f"{new}.s"], [f"{new}.r"]),
            helper.make_node("Cast", [f"{new}.r"], [new], to=2),
        ]
        return [*given, one, *steps]

    behind(model, "semantic", make)
