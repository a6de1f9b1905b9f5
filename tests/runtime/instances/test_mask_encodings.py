"""Masks over the whole canvas, and prototypes: what a contract says of them, and what is made of outputs."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Canvas, Contract, image_inputs
from maskrt.runtime.errors import ContractError
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.structs import FileKind, plain, read
from maskrt.runtime.tasks.instances import masks as module
from maskrt.runtime.tasks.instances.decode import postprocess
from maskrt.runtime.tasks.instances.options import BoxGrid, CanvasGrid, InstancesOptions, Prototypes
from maskrt.runtime.tasks.keep import Keep
from tests.runtime.conftest import make_contract

KIND = FileKind("contract", "is no contract", "Export it again.", ContractError)
ENCODINGS = (BoxGrid(28, 0.5), CanvasGrid(8, 2, 0.5), Prototypes(8, 2, 0.5, 3), None)


@pytest.mark.parametrize("masks", ENCODINGS)
def test_an_encoding_is_read_back_as_what_it_is(masks: object) -> None:
    options = InstancesOptions(0.05, 0.5, 10, "fixed", masks)  # type: ignore[arg-type]
    again = read(InstancesOptions, json.dumps(plain(options)), "x.onnx", KIND)
    assert again == options
    assert type(again.masks) is type(masks)


@pytest.mark.parametrize(("side", "cells"), [(550, 138), (64, 16), (None, None)])
def test_a_map_has_two_cells_for_8_px_or_a_part_of_them(side: int | None, cells: int | None) -> None:
    canvas = Canvas(550, 550, 1, side, side, "uint8", "stretch")
    tensors = InstancesOptions(0.05, 0.5, 10, "fixed", Prototypes(8, 2, 0.5, 3)).tensors(1, canvas, 4)
    assert [tensor.name for tensor in tensors[-2:]] == ["coefficients", "prototypes"]
    assert tensors[-1].axes == (1, 3, *((cells,) * 2 if cells else ("height/8*2", "width/8*2")))
    assert tensors[-1].shape({"height": 550, "width": 551}) == (
        1,
        3,
        *((cells,) * 2 if cells else (138, 138)),
    )


def contract_of(masks: CanvasGrid) -> Contract:
    """On a canvas of 64 × 64 px."""
    contract = make_contract()
    canvas = dataclasses.replace(contract.canvas, height_px=64, width_px=64)
    options = dataclasses.replace(contract.options, masks=masks, max_detections=2)
    return dataclasses.replace(
        contract,
        options=options,
        canvas=canvas,
        inputs=image_inputs(canvas, contract.batch),
        outputs=options.tensors(contract.batch, canvas, len(contract.classes)),
    )


def found(prototypes: bool) -> Outputs:
    """Two objects on a canvas of 64 × 64 px, of which the picture covers 48 × 64: a half plane each."""
    boxes = np.array([[[8, 8, 40, 32], [0, 0, 64, 48]]], np.float32)
    outputs = {
        "num_detections": np.array([2], np.int32),
        "boxes": boxes,
        "scores": np.array([[0.9, 0.3]], np.float32),
        "labels": np.array([[0, 1]], np.int32),
    }
    left = np.zeros((16, 16), np.float32)
    left[:, :8] = 1
    if prototypes:
        outputs["coefficients"] = np.array([[[20, -10], [-20, 10]]], np.float32)
        outputs["prototypes"] = np.stack([left, np.ones_like(left)])[None]
    else:
        masks = 1 / (1 + np.exp(-np.stack([20 * left - 10, 10 - 20 * left])))
        masks[0, :, 11:] = masks[0, :1] = masks[0, 9:] = 0  # cells further than one from its box
        outputs["masks"] = masks[None].astype(np.float32)
    return Outputs(outputs)


@pytest.mark.parametrize("prototypes", [True, False])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_masks_lie_where_their_cells_do(prototypes: bool, times: int) -> None:
    """Cell 7 ends at 32 px of the canvas: object 0 is left of it in its box, object 1 right of it, in the
    picture."""
    masks = Prototypes(8, 2, 0.5, 2) if prototypes else CanvasGrid(8, 2, 0.5)
    contract = contract_of(masks)
    size = (48 * times, 64 * times)
    batch = Batch(np.zeros((1, 64, 64, 3), np.uint8), np.array([[48, 64]], np.float32), (size,))

    (result,) = postprocess(found(prototypes), batch, contract)

    first, second = (np.argwhere(mask) for mask in result.masks)
    assert np.abs(first.min(axis=0) - np.array([4, 4]) * times).max() <= 2 * times  # a cell before the box
    assert np.abs(first.max(axis=0) + 1 - np.array([36, 32]) * times).max() <= 2 * times
    assert np.abs(second.min(axis=0) - np.array([0, 32]) * times).max() <= 1
    assert (second.max(axis=0) + 1).tolist() == list(size)


def test_only_rows_that_are_kept_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    made, original = [], module.put_together
    monkeypatch.setattr(module, "put_together", lambda *given: made.append(1) or original(*given))
    contract = contract_of(Prototypes(8, 2, 0.5, 2))
    batch = Batch(np.zeros((1, 64, 64, 3), np.uint8), np.array([[48, 64]], np.float32), ((48, 64),))
    (result,) = postprocess(found(True), batch, contract, keep=Keep(0.5))
    assert (len(result), len(made)) == (1, 1)
