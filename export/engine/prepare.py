"""Prepares the exported file for TensorRT's parser: our operators as plugins, or as their function bodies.

Parsers differ in which of the two they prefer: 8.6 knows no functions, 10.0 to 10.6 take the function, 10.7
to 10.14 the plugin, and from 10.15 on an attribute decides. So the prepared file leaves no choice: it has
either no functions or none of our operators.
"""

from __future__ import annotations

import onnx
import onnx.inliner
from onnx import ModelProto

from maskrt.export.engine.deform_conv import SINCE, HalfDeformConv, NativeDeformConv
from maskrt.export.engine.for_8_6 import CastBehindPlugins, LowerToOpset17
from maskrt.export.engine.long_topk import GroupLongTopK
from maskrt.export.engine.rewrite import CastBytesFirst, DropFunctions, HoldConstants
from maskrt.export.engine.supported import Version, is_ours, refusals
from maskrt.export.engine.values import without_weights
from maskrt.runtime.errors import ExportError
from maskrt.runtime.onnx_pass import run_passes

SHOWN = 5  # refusals that go into a message
EVERY_VERSION = (DropFunctions(), HoldConstants(), CastBytesFirst(), GroupLongTopK())
FOR_8_6 = (LowerToOpset17(), HoldConstants(), HalfDeformConv(), CastBehindPlugins())
EXPORT_AGAIN = "Export it again with this maskrt, or use a newer TensorRT (docs/tensorrt.md)."


def prepare(model: ModelProto, version: Version, operators: str, source: str) -> ModelProto:
    """Prepare a copy of the model for the parser of this TensorRT.

    Its constants are initializers: it holds no Constant node.
    operators: "plugin" or "body". Raises ExportError, naming nodes, where the parser takes no form of it.
    """
    with without_weights(model) as weights:
        prepared = _prepare(model, version, operators, source)
    for tensor in prepared.graph.initializer:
        if tensor.name in weights:
            tensor.raw_data = weights[tensor.name]
    return prepared


def _prepare(model: ModelProto, version: Version, operators: str, source: str) -> ModelProto:
    prepared = _written(model, version, operators)
    if refused := refusals(prepared, version):
        more = f"; and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
        shown = "; ".join(refused[:SHOWN])
        remedy = EXPORT_AGAIN
        if operators == "body" and not refusals(_written(model, version, "plugin"), version):
            remedy = (
                "It takes it with the plugins: maskrt build-plugins && "
                f"maskrt build {source} --operators plugin"
            )
        raise ExportError(
            f"{source}: TensorRT {version[0]}.{version[1]} does not take it: {shown}{more}. {remedy}"
        )
    return prepared


def _written(model: ModelProto, version: Version, operators: str) -> ModelProto:
    """The model in the form of this parser, whether or not it takes it."""
    if version >= SINCE:
        run_passes(model := _copied(model), (NativeDeformConv(),))
    if operators == "body":
        prepared = onnx.shape_inference.infer_shapes(onnx.inliner.inline_local_functions(model))
    else:
        prepared = onnx.shape_inference.infer_shapes(model)  # bodies give the types around our operators
    run_passes(prepared, EVERY_VERSION if version >= (10, 0) else (*EVERY_VERSION, *FOR_8_6))
    return onnx.shape_inference.infer_shapes(prepared)


def _copied(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def custom_nodes(model: ModelProto) -> list[str]:
    """Names of the nodes that are our operators."""
    return [node.name for node in model.graph.node if is_ours(node)]
