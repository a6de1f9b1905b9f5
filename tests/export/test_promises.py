"""What a family's graph gives is held to its contract before a file is written."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from maskrt.export.onnx_model import EXPORT_STEPS, WRITE, export_onnx
from maskrt.export.promises import check_promises
from maskrt.models import FAMILIES
from maskrt.models.checkpoint import Checkpoint
from maskrt.runtime.contract import Category, Contract
from maskrt.runtime.errors import ExportError
from tests.conformance.toy.config import ToyConfig
from tests.conformance.toy.graph import ToyGraph
from tests.conformance.toy.network import Toy

Shapes = dict[str, tuple[str, tuple[int, ...]]]
CLASSES = tuple(Category(id=number, name=f"class {number}") for number in (1, 2, 3))
#: What the toy gives on a canvas of 96 × 128.
RIGHT: Shapes = {
    "num_detections": ("int32", (1,)),
    "boxes": ("float32", (1, 12, 4)),
    "scores": ("float32", (1, 12)),
    "labels": ("int32", (1, 12)),
    "masks": ("float32", (1, 12, 8, 8)),
    "stage.canvas": ("float32", (1, 3, 96, 128)),
    "stage.features": ("float32", (1, 16, 6, 8)),
    "stage.cells": ("float32", (1, 71, 6, 8)),
}
PICTURES: Shapes = {"images": ("uint8", (1, 96, 128, 3)), "image_sizes": ("float32", (1, 2))}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setitem(FAMILIES, "toy", "tests.conformance.toy")
    return Checkpoint(ToyConfig(), CLASSES, Toy(ToyConfig()).state_dict())


@pytest.fixture
def contract(toy: Checkpoint) -> Contract:
    return toy.contract(height_px=96, width_px=128, batch=1)


def graph_of(shapes: Shapes) -> onnx.ModelProto:
    """A graph of tensors alone."""
    inputs, outputs = (
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
            )
            for name, (dtype, shape) in tensors.items()
        ]
        for tensors in (PICTURES, shapes)
    )
    return onnx.helper.make_model(onnx.helper.make_graph([], "toy", inputs, outputs))


def test_what_is_promised_passes(contract: Contract) -> None:
    check_promises(graph_of(RIGHT), contract)


@pytest.mark.parametrize(
    ("tensor", "dtype", "shape", "said"),
    [
        ("labels", "int64", (1, 12), "tensor 'labels' is int64, but its contract says int32"),
        ("boxes", "float32", (1, 6, 4), "tensor 'boxes' is 1 x 6 x 4, but its contract says 1 x 12 x 4"),
        ("scores", "float32", (1, 12, 1), "tensor 'scores' is 1 x 12 x 1, but its contract says 1 x 12"),
        ("stage.cells", "int32", (1, 71, 6, 8), "tap 'cells' is int32, but a tap of kind 'map' is float32"),
        (
            "stage.canvas",
            "float32",
            (1, 16, 6, 8),
            "tap 'canvas' is 1 x 16 x 6 x 8, but its contract says 1 x 3",
        ),
        ("stage.features", "float32", (1, 3, 96, 128), "its contract says 1 x any x 6 x 8"),
        ("stage.features", "float32", (1, 48, 16), "tap 'features' is 1 x 48 x 16, but"),
    ],
)
def test_another_dtype_or_shape_is_refused(
    tensor: str, dtype: str, shape: tuple[int, ...], said: str, contract: Contract
) -> None:
    with pytest.raises(ExportError) as caught:
        check_promises(graph_of(RIGHT | {tensor: (dtype, shape)}), contract)
    assert said in str(caught.value)
    assert "the graph of the family 'toy'" in str(caught.value)


def without_the_last(shapes: Shapes) -> Shapes:
    return dict(list(shapes.items())[:-1])


def with_one_more(shapes: Shapes) -> Shapes:
    return shapes | {"add.7": ("float32", (1,))}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_the_last, "it gives 7 tensors, without 'stage.cells', but its contract says 8"),
        (with_one_more, "it gives 9 tensors, with 'add.7', but its contract says 8"),
    ],
)
def test_another_number_of_tensors_is_refused(
    change: Callable[[Shapes], Shapes], said: str, contract: Contract
) -> None:
    with pytest.raises(ExportError, match=said):
        check_promises(graph_of(change(RIGHT)), contract)


def test_an_export_is_held_to_it(
    toy: Checkpoint, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ToyGraph.forward
    monkeypatch.setattr(
        ToyGraph, "forward", lambda self, images, image_sizes: whole(self, images, image_sizes)[:-1]
    )
    begun: list[str] = []
    with pytest.raises(ExportError, match=r"without 'stage\.cells'"):
        export_onnx(toy, contract, begun.append)
    assert [*begun, WRITE] == list(EXPORT_STEPS), "what the bar of maskrt export goes by"
