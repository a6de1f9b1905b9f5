"""A model made by hand that gives class maps: the class of a pixel is its brightest colour."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser

from maskrt.runtime.contract import (
    METADATA_KEY,
    Canvas,
    Category,
    Contract,
    Inside,
    Layers,
    Normalise,
    Origin,
    Precision,
    image_inputs,
)
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.semantic.options import SemanticOptions

CLASSES = (Category(7, "background"), Category(5, "grass"), Category(300, "sky"))


def make_contract(**changes: Any) -> Contract:
    """Its contract, with changes: fields of `Contract` and of `Canvas`, `batch`, `stride_px` of scores."""
    options = SemanticOptions(changes.pop("stride_px", None))
    sides = {field.name for field in dataclasses.fields(Canvas)} & changes.keys()
    canvas = dataclasses.replace(
        Canvas(64, 96, 1, None, None, "uint8", "native"), **{name: changes.pop(name) for name in sides}
    )
    batch, classes = changes.pop("batch", None), changes.get("classes", CLASSES)
    fields: dict[str, Any] = {
        "task": "semantic",
        "family": "made",
        "config": {},
        "classes": classes,
        "canvas": canvas,
        "normalise": Normalise((0.5,) * 3, (0.25,) * 3),
        "inputs": image_inputs(canvas, batch),
        "outputs": options.tensors(batch, canvas, len(classes)),
        "options": options,
        "inside": Inside(),
        "layers": Layers(),
        "precision": Precision(),
        "origin": Origin("0.1.0", "0" * 64),
    }
    return Contract(**fields | changes)


def write_model(path: Path, contract: Contract) -> Path:
    """The model as a file. It reads the sizes, or OpenVINO would have no such input."""
    model = onnx.parser.parse_model(
        """
        <ir_version: 9, opset_import: ["": 18]>
        brightest (uint8[N, H, W, 3] images, float[N, 2] image_sizes) => (uint8[N, H, W] semantic)
        <float nought = {0}, int64[2] axes = {0, 1}> {
            sizes = ReduceSum <keepdims = 0> (image_sizes, axes)
            nothing = Mul (sizes, nought)
            colours = Cast <to = 1> (images)
            floats = Add (colours, nothing)
            best = ArgMax <axis = 3, keepdims = 0> (floats)
            semantic = Cast <to = 2> (best)
        }"""
    )
    model.metadata_props.add(key=METADATA_KEY, value=contract.to_json())
    onnx.save(model, path)
    return path


def picture(labels: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) of which the model says these labels."""
    return np.asarray(np.eye(3, dtype=np.uint8)[labels] * 200 + 20, np.uint8)


def halves(height: int = 40, width: int = 60) -> np.ndarray:
    """(H, W): background on the left, sky on the right above grass."""
    labels = np.zeros((height, width), np.uint8)
    labels[:, width // 2 :] = 2
    labels[height // 2 :, width // 2 :] = 1
    return labels


def batch_of(labels: np.ndarray, size: tuple[int, int] | None = None) -> Batch:
    """A batch of one whose canvas the map fills. size: of the image itself."""
    shape = labels.shape[-2:]
    return Batch(np.zeros((1, *shape, 3), np.uint8), np.array([shape], np.float32), (size or shape,))
