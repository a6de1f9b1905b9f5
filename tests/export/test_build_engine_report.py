"""What is said of TensorRT's work: the parser's errors in our words, and the layers of the finished engine.

The engine's JSON is written out here as IEngineInspector gives it (fields as in the examples of NVIDIA's
trt-engine-explorer); no engine can be built without a GPU.
"""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from onnx import ModelProto

from maskrt.export.engine.layers import examine_layers, lines
from maskrt.export.engine.parse import ROI_ALIGN_LIBRARY, explain, parse
from maskrt.runtime.errors import ExportError

PLUGIN_NODES = """
    pooled = maskrt.PyramidRoiAlign <plugin_namespace = "maskrt"> (rois, batch, features)
    kept, count = maskrt.GroupedNms <plugin_namespace = "maskrt"> (boxes, scores, groups)
"""


def graph(nodes: str, inputs: str = "float16[1,4,8,8] x") -> ModelProto:
    """A graph whose nodes bear their first output's name."""
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18, "maskrt": 1]> g ({inputs}) => (float[1] out) {{ {nodes} }}'
    )
    for node in model.graph.node:
        node.name = f"node_{node.output[0]}"
    return onnx.shape_inference.infer_shapes(model)


def tensor(name: str, kind: str) -> dict[str, Any]:
    return {"Name": name, "Location": "Device", "Dimensions": [1, 4, 8, 8], "Format/Datatype": kind}


FP32 = "Row major linear FP32"
FP16 = "Channel major FP16 format where channel % 8 == 0"
INT8 = "Thirty-two wide channel vectorized row major Int8 format"


def layer(name: str, kind: str, inputs: str, output: str, **more: Any) -> dict[str, Any]:
    source, target = tensor(f"in {name}", inputs), tensor(f"out {name}", output)
    return {"Name": name, "LayerType": kind, "Inputs": [source], "Outputs": [target], **more}


def engine(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"Layers": list(layers), "Bindings": []}


ROI_ALIGN = layer("node_pooled", "PluginV3", FP16, FP16)
NMS = layer("node_kept", "PluginV3", FP32, "Row major linear INT32")


def test_plugins_that_are_in_the_engine_are_reported() -> None:
    report = examine_layers(engine(ROI_ALIGN, NMS), 0, graph(PLUGIN_NODES), "model.onnx")
    assert report.plugins == ("node_pooled", "node_kept")
    assert report.precisions == {"FP16": 1, "INT32": 1}


@pytest.mark.parametrize(
    "layers",
    [
        [ROI_ALIGN],
        [ROI_ALIGN, layer("node_kept", "NMS", FP32, FP32)],
        [ROI_ALIGN, layer("node_kept_2", "PluginV3", FP32, FP32)],
        [ROI_ALIGN, layer("my_node_kept", "PluginV3", FP32, FP32)],
    ],
)
def test_a_plugin_that_is_missing_is_an_error_that_names_it(layers: list[dict[str, Any]]) -> None:
    with pytest.raises(
        ExportError, match=r"model\.onnx: of 2 operators .* 1 are in the engine; missing: node_kept"
    ):
        examine_layers(engine(*layers), 0, graph(PLUGIN_NODES), "model.onnx")


def test_an_engine_of_bodies_has_no_plugins_of_ours() -> None:
    own = layer("node_roi_align", "PluginV3", FP32, FP32)  # TensorRT's RoiAlign is one, too
    report = examine_layers(engine(own), 0, graph("out = Relu (x)"), "model.onnx")
    assert report.plugins == report.reformats == ()


CONVOLUTIONS = """
    w = Constant <value = float16[4,4,1,1] {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}> ()
    a = Conv (x, w)
    b = Relu (a)
    c = Conv (b, w)
"""


@pytest.mark.parametrize(
    ("layers", "kept_fp32"),
    [
        ([layer("node_a + node_b", "CaskConvolution", FP16, FP16), layer("node_c", "CaskConvolution", FP16, FP16)], ()),
        ([layer("node_a + node_b", "CaskConvolution", FP32, FP32), layer("node_c", "CaskConvolution", FP16, FP16)],
         ("node_a",)),
        ([layer("__myl_ConvRelu_0", "kgen", FP32, FP32, Metadata="[ONNX Layer: node_a]\x1e[ONNX Layer: node_b]")],
         ("node_a",)),
        ([layer("node_a", "CaskConvolution", FP32, FP16)], ("node_a",)),
        ([layer("node_a", "CaskConvolution", INT8, FP32)], ()),
    ],
)  # fmt: skip
def test_a_heavy_layer_that_was_to_be_half_and_is_not_is_listed(
    layers: list[dict[str, Any]], kept_fp32: tuple[str, ...]
) -> None:
    report = examine_layers(engine(*layers), 0, graph(CONVOLUTIONS), "model.onnx")
    assert report.kept_fp32 == kept_fp32


def test_so_is_one_that_was_to_be_int8() -> None:
    nodes = """
        s = Constant <value = float {0.1}> ()
        z = Constant <value = int8 {0}> ()
        w = Constant <value = float[4,4,1,1] {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}> ()
        q = QuantizeLinear (x, s, z)
        d = DequantizeLinear (q, s, z)
        c = Conv (d, w)
        e = Conv (x, w)
    """
    model = graph(nodes, inputs="float[1,4,8,8] x")
    quantised = engine(
        layer("node_c", "CaskConvolution", INT8, FP32), layer("node_e", "CaskConvolution", FP32, FP32)
    )
    plain = engine(
        layer("node_c", "CaskConvolution", FP32, FP32), layer("node_e", "CaskConvolution", FP32, FP32)
    )
    assert examine_layers(quantised, 0, model, "model.onnx").kept_fp32 == ()
    assert examine_layers(plain, 0, model, "model.onnx").kept_fp32 == ("node_c",)


def test_reformats_are_counted_around_our_plugins_alone() -> None:
    before = layer("Reformatting CopyNode for Input Tensor 2 to node_pooled", "Reformat", FP32, FP16)
    before["Outputs"] = ROI_ALIGN["Inputs"]
    elsewhere = layer("Reformatting CopyNode for Input Tensor 0 to node_conv", "Reformat", FP32, FP16)
    report = examine_layers(engine(before, elsewhere, ROI_ALIGN, NMS), 0, graph(PLUGIN_NODES), "model.onnx")
    assert report.reformats == (before["Name"],)


def test_the_report_is_read_in_three_lines() -> None:
    model = graph(PLUGIN_NODES + CONVOLUTIONS)
    stray = layer("node_a", "CaskConvolution", FP32, FP32)
    report = examine_layers(engine(stray, ROI_ALIGN, NMS), 3 << 20, model, "model.onnx")
    assert lines(report) == [
        "layers: 1 FP16, 1 FP32, 1 INT32; activations 3 MiB",
        "plugins in the engine: 2; reformats around them: 0",
        "in FP32 although lower was meant: node_a",
    ]


@pytest.mark.parametrize(
    ("report", "parts"),
    [
        (("UNSUPPORTED_NODE", 0, "No importer\n registered"),
         ["node 'node_a' (Cosh): this TensorRT has no such operator in this form (No importer registered)",
          "or use a newer TensorRT"]),
        (("INVALID_NODE", 1, "Plugin not found"), ["node 'node_pooled' (PyramidRoiAlign)", "maskrt build-plugins"]),
        (("MODEL_DESERIALIZE_FAILED", -1, "bad wire type"), ["the file: the parser cannot read the file"]),
        (("REFIT_FAILED", 99, "?"), ["the file: TensorRT's error REFIT_FAILED"]),
    ],
)  # fmt: skip
def test_parser_errors_name_the_node_what_it_means_and_what_to_do(
    report: tuple[str, int, str], parts: list[str]
) -> None:
    nodes = (
        'a = Cosh (x) pooled = maskrt.PyramidRoiAlign <plugin_namespace = "maskrt"> (rois, batch, features)'
    )
    message = explain([report], graph(nodes), "model.onnx")
    assert message.startswith("model.onnx: TensorRT's parser refuses it: ")
    for part in parts:
        assert part in message


def test_many_parser_errors_are_cut_short() -> None:
    message = explain([("INVALID_NODE", 0, "x")] * 8, graph("a = Cosh (x)"), "model.onnx")
    assert message.count("node 'node_a'") == 5
    assert "; and 3 more. " in message


class Taken:
    """A TensorRT whose parser takes everything, once it is called."""

    def __init__(self, version: str) -> None:
        self.__version__, self.given = version, list[bytes]()

    def OnnxParser(self, network: Any, logger: Any) -> Taken:
        return self

    def parse(self, model: bytes) -> bool:
        self.given.append(model)
        return True


@pytest.fixture
def roi_align(monkeypatch: pytest.MonkeyPatch) -> ModelProto:
    for name in ("logger", "clear_errors"):
        monkeypatch.setattr(f"maskrt.export.engine.parse.{name}", lambda: None)
    node = "y = RoiAlign <output_height = 2, output_width = 2> (x, rois, batch)"
    return graph(node, "float[1,4,8,8] x, float[3,4] rois, int64[3] batch")


def test_a_roi_align_is_refused_on_8_6_where_its_parser_would_end_the_process(roi_align: ModelProto) -> None:
    with pytest.raises(ExportError, match=rf"model\.onnx: .*{ROI_ALIGN_LIBRARY}.*maskrt build-plugins"):
        parse(Taken("8.6.0"), None, roi_align, "model.onnx")


def test_a_roi_align_is_parsed_where_nothing_is_missing(
    roi_align: ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    later, old = Taken("10.3.0"), Taken("8.6.1")
    parse(later, None, roi_align, "model.onnx")
    monkeypatch.setattr("maskrt.export.engine.parse.ROI_ALIGN_LIBRARY", "libc.so.6")
    parse(old, None, roi_align, "model.onnx")
    assert (len(later.given), len(old.given)) == (1, 1)
