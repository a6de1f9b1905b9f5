"""Precision on TensorRT 8.6: what the file has in float32 is held to it, and nothing else is."""

from __future__ import annotations

import onnx
import pytest
from onnx import ModelProto

from maskrt.export.engine.prepare import prepare
from maskrt.models.operators import DOMAIN
from tests.export.network_8_6 import Layer, constrain, parsed

HEAD = f"""<ir_version: 8, opset_import: ["": 17, "{DOMAIN}": 1]>
    g (float[9,4] rois, int32[9] image, float16[1,8,32,32] map) => (float[9,2] scores, float[5] best, int64[5] rows)
    <float16[2,392] weight, float16[2] bias, int64[2] flat = {{9, -1}}, int64[1] five = {{5}}, float[3] scales>
    {{
        larger = Resize <mode = "nearest"> (map, , scales)
        pooled = {DOMAIN}.PyramidRoiAlign (rois, image, map)
        rows_of_pooled = Reshape (pooled, flat)
        logits = Gemm <transB = 1> (rows_of_pooled, weight, bias)
        wide = Cast <to = 1> (logits)
        scores = Softmax (wide)
        column = Slice (scores, five, five)
        best, rows = TopK (column, five)
        large = Greater (column, best)
    }}"""


@pytest.fixture(scope="module")
def head() -> ModelProto:
    """A head in half behind a plugin, scores in float32; its types are those that bodies tell."""
    model = onnx.parser.parse_model(HEAD)
    half, wide, flag = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL
    for names, element_type in (
        (("larger", "pooled", "rows_of_pooled", "logits"), half),
        (("wide", "column"), wide),
        (("large",), flag),
    ):
        for name in names:
            model.graph.value_info.append(onnx.helper.make_tensor_value_info(name, element_type, None))
    for node in model.graph.node:
        node.name = f"node_{node.output[0]}"
    return model


@pytest.mark.parametrize(
    ("layer", "precision", "output_types"),
    [
        (Layer("node_scores", "SOFTMAX", [("wide", "float32")], [("scores", "float32")]), "float32", {0: "float32"}),
        (Layer("node_scores_7", "SHUFFLE", [("a", "float32")], [("b", "float32")]), "float32", {0: "float32"}),
        (Layer("(Unnamed Layer* 3)", "SHUFFLE", [("a", "float32")], [("scores", "float32")]), "float32",
         {0: "float32"}),
        (Layer("node_best", "TOPK", [("column", "float32"), ("five", "int32")],
               [("best", "float32"), ("rows", "int32")]), "float32", {0: "float32"}),  # scores and where they are
        (Layer("node_large", "ELEMENTWISE", [("column", "float32"), None], [("large", "bool")]), "float32", {}),
        (Layer("node_logits", "FULLY_CONNECTED", [("rows_of_pooled", "float32")], [("logits", "float32")]), None, {}),
        (Layer("node_logits_8", "MATRIX_MULTIPLY", [("a", "float32")], [("b", "float32")]), None, {}),
        (Layer("node_larger", "RESIZE", [("map", "float16"), ("scales", "float32")], [("larger", "float16")]), None, {}),
        (Layer("(Unnamed Layer* 4)", "SHUFFLE", [("a", "float32")], [("b", "float32")]), None, {}),
        (Layer("(Unnamed Layer* 5)", "ELEMENTWISE", [("wide", "float32")], [("b", "float32")]), "float32",
         {0: "float32"}),  # the first half of a Clip
        (Layer("(Unnamed Layer* 6)", "SHUFFLE", [("pooled", "float32")], [("b", "float32")]), None, {}),
        (Layer("node_column_9", "ELEMENTWISE", [("a", "int32")], [("b", "int32")]), None, {}),
        (Layer("node_wide", "CAST", [("logits", "float32")], [("wide", "float32")]), None, {}),
        (Layer("node_pooled", "PLUGIN_V2", [("rois", "float32")], [("pooled", "float32")]), None, {}),
    ],
    ids=lambda value: value.name if isinstance(value, Layer) else "",
)  # fmt: skip
def test_a_layer_is_held_to_float32_if_the_file_has_its_node_in_float32(
    layer: Layer, precision: str | None, output_types: dict[int, str], head: ModelProto
) -> None:
    assert constrain([layer], head) == ["FP16", "OBEY_PRECISION_CONSTRAINTS"]
    assert (layer.precision, layer.output_types) == (precision, output_types)


def test_a_layer_without_a_name_is_what_it_reads_through_others_too(head: ModelProto) -> None:
    layers = [
        Layer("(Unnamed Layer* 1)", "SHUFFLE", [("wide", "float32")], [("(Unnamed Layer* 1)_output", "float32")]),
        Layer("(Unnamed Layer* 2)", "SHUFFLE", [("logits", "float32")], [("(Unnamed Layer* 2)_output", "float32")]),
        Layer("(Unnamed Layer* 3)", "ELEMENTWISE", [("(Unnamed Layer* 1)_output", "float32")], [("a", "float32")]),
        Layer("(Unnamed Layer* 4)", "ELEMENTWISE", [("(Unnamed Layer* 2)_output", "float32")], [("b", "float32")]),
    ]  # fmt: skip
    constrain(layers, head)
    assert [layer.precision for layer in layers] == ["float32", None, "float32", None]


def test_behind_a_plugin_its_output_is_said_to_be_half(head: ModelProto) -> None:
    """A network of 8.6 takes a plugin's output for float32 until the builder begins."""
    nodes = {node.name: node for node in prepare(head, (8, 6), "plugin", "model.onnx").graph.node}
    pooled, cast, flat = (nodes[name] for name in ("node_pooled", "pooled/half", "node_rows_of_pooled"))
    assert (cast.op_type, onnx.helper.get_node_attr_value(cast, "to")) == ("Cast", onnx.TensorProto.FLOAT16)
    assert (list(cast.input), list(cast.output)) == (list(pooled.output), ["pooled"])
    assert flat.input[0] == "pooled"
    later = prepare(head, (10, 3), "plugin", "model.onnx").graph.node
    assert [node.op_type for node in later].count("Cast") == 1


def test_heads_in_half_stay_free(head: ModelProto) -> None:
    prepared = prepare(head, (8, 6), "plugin", "model.onnx")
    layers = parsed(prepared)
    constrain(layers, prepared)
    held = {layer.name for layer in layers if layer.precision}
    assert held == {"node_scores", "node_column", "node_best", "node_large"}


def test_in_float32_and_in_int8_nothing_is_held(head: ModelProto) -> None:
    layers = parsed(head)
    assert constrain(layers, head, "fp32") == []
    assert constrain(layers, head, "int8") == ["INT8"]
    assert not any(layer.precision for layer in layers)
