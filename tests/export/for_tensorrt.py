"""Files of one network for TensorRT, in every shape and precision."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import onnx
from onnx import ModelProto

from maskrt.calibration.decide.candidate import build as quantise
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import TENSORRT
from maskrt.export.overflow import half_contract
from maskrt.models.load import load_checkpoint
from tests.exports import Exports
from tests.families import make

CANVAS = {"height_px": 256, "width_px": 320, "batch": 1}
SHAPES: dict[str, dict[str, int]] = {"static": CANVAS, "dynamic": {}}
RANGE = (-4.0, 4.0)  # any: what is looked at are nodes and types


class Exported:
    """R18-FPN for TensorRT, of one canvas and of any, in every precision; each is made when it is asked for."""

    def __init__(self, checkpoint: Path, exports: Exports) -> None:
        self._checkpoint, self._exports = checkpoint, exports

    @cache  # noqa: B019 - one for the module
    def __getitem__(self, kind: str) -> ModelProto:
        shape, _, precision = kind.partition(" ")
        if precision == "int8":
            return in_eight_bits(self[shape])
        if kind == "static fp16":  # which conformance makes of every family
            return onnx.load(make(self._exports, "mask_rcnn").half)
        loaded = load_checkpoint(self._checkpoint)
        contract = loaded.contract(**SHAPES[shape], detections="fixed")
        if precision == "fp16":
            contract = half_contract(loaded, contract, [])
        return onnx.load(self._exports.onnx(self._checkpoint, contract))


def in_eight_bits(model: ModelProto) -> ModelProto:
    tensors = {name for node in model.graph.node for name in (*node.input, *node.output) if name}
    return quantise(model, Plan.default(Graph.of(model), TENSORRT, "minmax"), dict.fromkeys(tensors, RANGE))
