"""Faults of YOLACT, planted in a small one: what those who wrote its decoding by hand got wrong, and more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.parity_trial.faults import Planted
from benchmarks.parity_trial.graph import (
    Model,
    add_constant,
    behind,
    change_constant,
    change_scalars,
    constant,
    operators,
    set_attribute,
    through,
)
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.yolact.config import YolactConfig
from maskrt.models.yolact.network import Yolact
from maskrt.models.yolact.random_weights import randomise
from maskrt.runtime.contract import Category

CLASSES, PRIORS, SIZE = 6, 3, (192, 256)  # with the background; of a cell; height and width of the canvas


def small_checkpoint(folder: Path, picture: NDArray) -> Path:
    """A network with confident random weights, narrow, so that a fault takes seconds; masks are its own."""
    config = YolactConfig(
        backbone="resnet18",
        num_classes=CLASSES,
        channels=32,
        prototypes=8,
        min_size_px=SIZE[0],
        max_size_px=SIZE[1],
        mask_outputs="masks",
    )
    torch.manual_seed(0)
    model = randomise(Yolact(config), torch.from_numpy(picture).permute(2, 0, 1) / 255)
    classes = tuple(Category(i, f"class {i}") for i in range(1, CLASSES))
    path = folder / "yolact.pt"
    Checkpoint(config, classes, model.state_dict()).save(path)
    return path


def all_faults() -> Iterator[Planted]:
    """Every fault."""
    yield Planted("BGR for RGB", "canvas", "channels are reversed", _bgr)
    yield from _priors()
    yield from _order()
    yield from _between()


def _priors() -> Iterator[Planted]:
    sides = "detections.prior_sides"
    for what, change in (
        ("20% larger", lambda values: values * 1.2),
        ("those of P4 in place of P3's", lambda values: np.roll(values, -PRIORS, axis=0)),
        ("width and height exchanged", lambda values: values[:, ::-1]),
        ("square", lambda values: np.repeat(values[:, :1], 2, axis=1)),
    ):
        yield Planted(
            f"priors: {what}",
            "detections",
            "prior_sides",
            lambda model, change=change: change_constant(model, sides, change),
        )
    for what, value, to in (("of centres 0.2", 0.1, 0.2), ("of sides 0.1", 0.2, 0.1)):
        yield Planted(
            f"variance {what}",
            "detections",
            "decoding|possible",
            lambda model, value=value, to=to: change_scalars(model, value, to),
        )


def _order() -> Iterator[Planted]:
    """The pyramid's levels, and what lies in a cell, taken in another order."""
    for one, other, stage in (("levels.0", "levels.2", "P[35]"), ("levels.1", "levels.2", "P[45]")):
        yield Planted(
            f"FPN order: {one} and {other} exchanged",
            stage,
            r"backbone\.fpn\.levels",
            lambda model, one=one, other=other: _exchange(
                model, f"backbone.fpn.{one}.weight", f"backbone.fpn.{other}.weight"
            ),
        )
    turned = np.arange(PRIORS * CLASSES).reshape(PRIORS, CLASSES).T.ravel()
    for part in ("weight", "bias"):
        yield Planted(
            f"class axis: classes outside of priors ({part})",
            r"class_logits",
            r"head\.classes",
            lambda model, part=part: change_constant(
                model, f"head.classes.{part}", lambda values: values[turned]
            ),
        )
    last = np.roll(np.arange(PRIORS * CLASSES).reshape(PRIORS, CLASSES), -1, axis=1).ravel()
    yield Planted(
        "class axis: the background last",
        "detections",
        "numbered|labels?|class index|possible",
        lambda model: behind(model, "stage.class_logits.P3", through("Gather", last, axis=1)),
    )


def _between() -> Iterator[Planted]:
    yield Planted(
        "a ReLU before the upsampling that cuts",
        "prototype_logits",
        "upsampl|possible",
        lambda model: _before_last_resize(model),
    )
    for number, stage in enumerate(("P4", "P3", "prototype_logits")):
        yield Planted(
            f"upsampling to {stage} by the nearest cell",
            stage,
            "upsampled otherwise|upsampling otherwise",
            lambda model, number=number: set_attribute(operators(model, "Resize")[number], "mode", "nearest"),
        )
    yield Planted(
        "crop without padding",
        "masks",
        "masks|possible",
        _no_padding,
    )
    yield Planted(
        "coefficients without a tanh",
        "masks|detections",
        "masks|possible",
        lambda model: _identity(model, "Tanh"),
    )
    yield Planted(
        "masks without a sigmoid",
        "masks",
        "masks|possible|sigmoid",
        lambda model: _identity(model, "Sigmoid"),
    )
    yield Planted("scores by a sigmoid", "detections", "scores?|possible", lambda model: _sigmoid(model))
    yield Planted("no ReLU of the prototypes", "masks", "masks|possible", lambda model: _no_last_relu(model))


def _bgr(model: Model) -> None:
    behind(model, "images", through("Gather", np.array([2, 1, 0]), axis=3))


def _exchange(model: Model, one: str, other: str) -> None:
    first, second = constant(model, one), constant(model, other)
    change_constant(model, one, lambda _: second)
    change_constant(model, other, lambda _: first)


def _no_padding(model: Model) -> None:
    """A mask's first and last cell are its box's: the cell that is taken off and added is none."""
    sliced = {node.input[0] for node in operators(model, "Slice")}
    ones = {one.name for one in model.graph.initializer if not one.dims and constant(model, one.name) == 1}
    nodes = [
        node
        for kind in ("Sub", "Add")
        for node in operators(model, kind)
        if node.input[1] in ones and node.output[0] in sliced
    ]
    assert len(nodes) == 2, f"{len(nodes)} places where a box grows by a cell"
    none = add_constant(model, "no_padding", np.float32(0))
    for node in nodes:
        node.input[1] = none


def _before_last_resize(model: Model) -> None:
    """What enters the protonet's upsampling loses all below 0.2."""
    source = operators(model, "Resize")[-1].input[0]
    behind(model, source, through("Max", np.float32(0.2)))


def _identity(model: Model, kind: str) -> None:
    node = operators(model, kind)[-1]
    node.op_type = "Identity"


def _sigmoid(model: Model) -> None:
    node = operators(model, "Softmax")[0]
    node.op_type = "Sigmoid"
    del node.attribute[:]


def _no_last_relu(model: Model) -> None:
    reader = next(node for node in operators(model, "Relu") if node.input[0] == "stage.prototype_logits")
    reader.op_type = "Identity"
