"""Whole exported graphs through real parsers, of TensorRT 8.6.0 and 10.1: what they make of them is what they say.

Every value of the file that becomes a tensor has the file's type and shape, and each layer computes, from ONNX
Runtime's values of the tensors before it, what ONNX Runtime computes: so constants, axes, pads and modes were
read rightly. For a dynamic graph that is shown for two canvases of one parsed network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
import onnx.inliner
import pytest
from onnx import ModelProto

from benchmarks.samples import confident_checkpoint, scene
from maskrt.calibration.decide.candidate import build, observed_tensors
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import TENSORRT
from maskrt.calibration.measure.collect import open_exposed
from maskrt.export.engine.prepare import prepare
from maskrt.export.onnx_model import export_onnx
from maskrt.export.overflow import half_contract
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.rcnn.config import C4
from maskrt.models.rcnn.matterport.config import MatterportConfig
from tests.tensorrt.parsed.conftest import Parser

pytestmark = pytest.mark.full

HEIGHT_PX, WIDTH_PX = 128, 160
SIZE: dict[str, Any] = {
    "min_size_px": HEIGHT_PX,
    "max_size_px": WIDTH_PX,
    "rpn_post_nms_test": 50,
    "max_detections": 10,
}
FEW = {"rpn_pre_nms_test": 1000}  # the bodies' NMS takes at most 5000 boxes on TensorRT
C4_FIELDS = {field.name: getattr(C4, field.name) for field in dataclasses.fields(C4)}
MODELS: dict[str, dict[str, Any]] = {
    "R18-FPN": SIZE,
    "R18-C4": C4_FIELDS | SIZE | FEW,
    "Matterport": SIZE
    | FEW
    | {
        "kind": MatterportConfig,
        "stride_in_1x1": False,
        "max_size_px": 128,
        "num_classes": 9,
        "fpn_channels": 32,
        "mask_convs": (32,) * 4,
    },
    "keypoint": SIZE | {"task": "keypoint", "num_classes": 2},
    "Faster R-CNN": SIZE | {"task": "detection"},
}
FORMS = {
    (model, canvas, precision)
    for model in MODELS
    for canvas, precision in [("dynamic", "fp32"), ("static", "fp16"), ("dynamic", "int8")]
} | {
    ("R18-FPN", canvas, precision)
    for canvas in ("static", "dynamic")
    for precision in ("fp32", "fp16", "int8")
}
FORMS_10 = {(model, "static", "fp16") for model in MODELS} | {
    ("R18-FPN", "dynamic", precision) for precision in ("fp32", "int8")
}


@cache
def checkpoint(model: str) -> Checkpoint:
    return confident_checkpoint(**MODELS[model] | {"backbone": "resnet18"})


@cache
def exported(model: str, canvas: str, precision: str) -> ModelProto:
    """With bodies, as `maskrt export` and `maskrt calibrate` write it; INT8 over FP32, by one picture's ranges."""
    if precision == "int8":
        base = exported(model, canvas, "fp32")
        plan = Plan.default(Graph.of(base), TENSORRT, "min-max")
        tensors = observed_tensors(Graph(base.graph))
        values = open_exposed(base, tensors).run(tensors, pictures(model, 1, HEIGHT_PX, WIDTH_PX))
        ranges = {name: (float(v.min()), float(v.max())) for name, v in zip(tensors, values, strict=True)}
        return build(base, plan, ranges)
    sides = {"height_px": HEIGHT_PX, "width_px": side_px(model), "batch": 1} if canvas == "static" else {}
    contract = checkpoint(model).contract(**sides, detections="fixed")
    if precision == "fp16":
        contract = half_contract(checkpoint(model), contract, [])
    return export_onnx(checkpoint(model), contract)


def side_px(model: str) -> int:
    """Matterport's canvases are square."""
    return MODELS[model]["max_size_px"]


def pictures(model: str, count: int, height_px: int, width_px: int) -> dict[str, np.ndarray]:
    width_px = min(width_px, height_px) if model == "Matterport" else width_px
    images = np.stack([cv2.resize(scene(1 + i), (width_px, height_px)) for i in range(count)])
    sizes = np.array([[height_px - 6, width_px - 10]] * count, np.float32)
    return {"images": images, "image_sizes": sizes}


@pytest.mark.parametrize("operators", ["plugin", "body"])
@pytest.mark.parametrize(("model", "canvas", "precision"), sorted(FORMS))
def test_nvidias_parser_of_8_6_makes_of_a_graph_what_it_says(
    model: str, canvas: str, precision: str, operators: str, parser: Parser
) -> None:
    assert_held(parser, model, canvas, precision, operators)


@pytest.mark.parametrize("operators", ["plugin", "body"])
@pytest.mark.parametrize(("model", "canvas", "precision"), sorted(FORMS_10))
def test_the_parser_of_10_1_makes_of_a_graph_what_it_says(
    model: str, canvas: str, precision: str, operators: str, parser_10: Parser
) -> None:
    assert_held(parser_10, model, canvas, precision, operators)


def assert_held(parser: Parser, model: str, canvas: str, precision: str, operators: str) -> None:
    file = exported(model, canvas, precision)
    prepared = prepare(file, parser.version, operators, "model.onnx")
    reference = file if operators == "plugin" else onnx.inliner.inline_local_functions(file)
    second = (2, 192, 224) if canvas == "dynamic" else (1, HEIGHT_PX, WIDTH_PX)
    feeds = pictures(model, 1, HEIGHT_PX, WIDTH_PX), pictures(model, *second)
    held = parser.hold(prepared, reference, *feeds)
    assert held.errors == []
    assert held.wrong == []
    assert held.absent == []
    assert held.outputs == [output.name for output in file.graph.output]
    assert held.compared > 1.5 * len(reference.graph.node)  # for two feeds; rewriting has renamed some
    expected = [(node.op_type, attributes(node)) for node in file.graph.node if node.domain == "maskrt"]
    if operators == "plugin":
        assert held.plugins == expected
    else:
        assert {name for name, _ in held.plugins} == {"ROIAlign_TRT"}
        assert held.layers["NMS"] == sum(name == "GroupedNms" for name, _ in expected)
    assert (held.layers["Quantize"] > 0) == (precision == "int8")


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Of a node of ours, without the plugin's name and version, and what the body alone reads."""
    read: Callable[[Any], Any] = lambda value: value.decode() if isinstance(value, bytes) else value  # noqa: E731
    given = {a.name: read(onnx.helper.get_attribute_value(a)) for a in node.attribute}
    return {name: value for name, value in given.items() if not name.startswith(("plugin_", "crop_steps"))}
