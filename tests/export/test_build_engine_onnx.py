"""What TensorRT's parser is given: every exported graph fits every supported parser, and computes what it did."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto

from benchmarks.samples import scene
from maskrt.export.engine import long_topk
from maskrt.export.engine.for_8_6 import LowerToOpset17
from maskrt.export.engine.prepare import FOR_8_6, custom_nodes, prepare
from maskrt.export.engine.small import LONG_SIDE_PX, PROPOSALS
from maskrt.export.engine.supported import refusals
from maskrt.export.onnx_model import for_small_devices
from maskrt.models.load import load_checkpoint
from maskrt.models.operators import DOMAIN, attach_bodies
from maskrt.runtime.contract import INPUT_NAMES, PREFIX
from maskrt.runtime.errors import ExportError
from maskrt.runtime.onnx_pass import run_passes
from tests.export.for_tensorrt import SHAPES, Exported
from tests.export.network_8_6 import constrain, parsed
from tests.exports import Exports
from tests.families import make

OPERATORS = ["plugin", "body"]
#: Half precision of any size takes half a minute more; of one canvas tests/conformance has it of every family.
KINDS = [
    *SHAPES,
    "static fp16",
    pytest.param("dynamic fp16", marks=pytest.mark.full),
    "static int8",
    "dynamic int8",
]


@pytest.fixture(scope="module")
def exported(random_checkpoint: Path, exports: Exports) -> Exported:
    return Exported(random_checkpoint, exports)


def run(model: ModelProto, **feed: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feed)


@pytest.mark.parametrize("operators", OPERATORS)
@pytest.mark.parametrize("versions", [[(8, 6)], [(10, 3), (10, 13), (11, 4)]], ids=["8.6", "10.3 to 11.4"])
@pytest.mark.parametrize("shapes", KINDS)
def test_every_exported_graph_fits_every_supported_parser(
    shapes: str, versions: list[tuple[int, int]], operators: str, exported: Exported
) -> None:
    given = exported[shapes].ByteSize()
    prepared = prepare(exported[shapes], versions[0], operators, "model.onnx")
    for version in versions:
        assert refusals(prepared, version) == []
    assert not prepared.functions
    assert not [node for node in prepared.graph.node if node.op_type == "Constant"]  # 8.6 misreads them
    assert len(custom_nodes(prepared)) == (4 if operators == "plugin" else 0)
    assert [o.name for o in prepared.graph.output] == [o.name for o in exported[shapes].graph.output]
    assert exported[shapes].ByteSize() == given  # left as it was


@pytest.mark.parametrize("operators", OPERATORS)
def test_on_8_6_boxes_and_scores_are_held_to_float32_and_no_layer_of_the_network_is(
    operators: str, exported: Exported
) -> None:
    prepared = prepare(exported["static fp16"], (8, 6), operators, "model.onnx")
    layers = parsed(prepared)
    constrain(layers, prepared)
    held = Counter(layer.type for layer in layers if layer.precision)
    free = Counter(layer.type for layer in layers if not layer.precision)
    assert {kind: free[kind] for kind in ("TOPK", "EXP", "SOFTMAX", "SIGMOID", "NONMAXSUPPRESSION")} == {
        "TOPK": 0, "EXP": 0, "SOFTMAX": 0, "SIGMOID": 0, "NONMAXSUPPRESSION": 0
    }  # fmt: skip
    assert held["TOPK"] >= 6
    assert held["EXP"] == 12
    heavy = {kind: held[kind] for kind in ("CONV", "CONVTRANSPOSE", "GEMM", "MAXPOOL", "RESIZE", "RELU")}
    assert not any(heavy.values())
    assert free["GEMM"] == 4


def test_files_of_one_checkpoint_name_their_tensors_alike(exports: Exports) -> None:
    """Ranges measured on the one serve the other: maskrt calibrate --onto."""

    def names(model: ModelProto) -> set[tuple[str, str]]:
        return {
            (name, node.op_type)
            for node in model.graph.node
            for name in node.output
            if node.op_type != "Cast" and not name.startswith(PREFIX)
        }

    example = make(exports, "mask_rcnn")
    exact, half = (names(onnx.load(path)) for path in (example.model, example.half))
    assert len(exact) > 300
    assert exact <= half


@pytest.mark.parametrize(
    ("shapes", "version"), [("static", (8, 6)), ("dynamic", (8, 6)), ("dynamic", (10, 3))]
)
def test_what_is_rewritten_computes_the_same_bit_by_bit(
    shapes: str, version: tuple[int, int], exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_topk, "LONG", 0)  # on so small a canvas no axis is long
    monkeypatch.setattr(long_topk, "GAIN", 1)
    feed = dict(
        zip(INPUT_NAMES, (scene(2)[None, :256, :320], np.array([[250, 310]], np.float32)), strict=True)
    )
    # Not in FP16: on a CPU ONNX Runtime runs it in float32, and rounds between nodes or not as it sees fit.
    expected = run(exported[shapes], **feed)
    prepared = prepare(exported[shapes], version, "body", "model.onnx")
    kinds = [Counter(node.op_type for node in model.graph.node) for model in (exported[shapes], prepared)]
    assert kinds[1]["TopK"] - kinds[0]["TopK"] == 2 + (2 if shapes == "static" else 1)  # two are of bodies
    actual = run(prepared, **feed)
    assert expected[0][0] > 0
    for one, other in zip(expected, actual, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_fits_8_6_as_it_was_exported(exported: Exported) -> None:
    found = "\n".join(refusals(exported["dynamic"], (8, 6)))
    assert "opset 18, the newest it takes is 17" in found
    assert "(Transpose): its tensor 'images' is UINT8" in found
    assert "(ReduceMin): its axes are an input, which is not read" in found
    assert "(Shape): its attribute 'start' is not read" in found


def small(text: str, opset: int = 18) -> ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {text}')
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize(
    ("version", "text", "refusal"),
    [
        ((11, 4), "g (float[4] x) => (float[4] y) { y = Cosh (x) }", "not in operators.csv"),
        ((11, 4), "g (double[4] x) => (double[4] y) { y = Relu (x) }", "'x' is of a type unknown"),
        ((8, 6), "g (int64[4] x) => (int64[4] y) { y = Relu (x) }", "'x' is INT32, it takes FP16, FP32, INT8"),
        ((10, 3), "g (uint8[2,3] x) => (uint8[3,2] y) { y = Transpose (x) }", "'x' is UINT8, it takes"),
        ((10, 3), "g (float[2,5000] x, int64[1] k) => (float[2,n] y, int64[2,n] i) <int64[1] k = {4000}>"
                  " { y, i = TopK (x, k) }", "k is 4000, at most 3840"),
        ((11, 4), "g (float[2,9] x) => (float[2,3] y, int64[2,3] i) <int64[1] k = {3}>"
                  " { y, i = TopK <sorted = 0> (x, k) }", "an unsorted one"),
        ((8, 6), "g (int64[2] x) => (int64[2] y) <int64[1] c = {3000000000}> { y = Add (x, c) }",
         "its constant 'c' does not fit INT32"),
        ((10, 3), "g (float[2,9] x, int64[1] a) => (float[n,m] y) { y = Squeeze (x, a) }",
         "its axes are no constant"),
        ((8, 6), "g (float[2,9] x) => (float[9,2] y) { s = Constant <value_ints = [9, 2]> () y = Reshape (x, s) }",
         "its attribute 'value_ints' is not read"),
        ((8, 6), "g (int64[2] x) => (int64[2] y) { s = Constant <value_int = 3> () y = Add (x, s) }",
         "its attribute 'value_int' is not read"),
        ((11, 4), "g (float[1,5001,4] b, float[1,1,5001] s) => (int64[n,3] y) { y = NonMaxSuppression (b, s) }",
         "5001 boxes an image, of which TensorRT's NMS considers 5000"),
        ((10, 3), "g (float[4] x) => (uint8[4] y) <float s = {0.1}, uint8 z = {128}>"
                  " { y = QuantizeLinear (x, s, z) }", "its zero point 'z' is not 0"),
    ],
)  # fmt: skip
def test_a_graph_that_a_parser_does_not_take_is_named(
    version: tuple[int, int], text: str, refusal: str
) -> None:
    assert any(refusal in found for found in refusals(small(text, 17), version)), refusals(
        small(text, 17), version
    )


def with_nms(boxes: int) -> ModelProto:
    """A model of one GroupedNms with its body, over so many boxes."""
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 18, "{DOMAIN}": 1]>
        g (float[1,{boxes},4] boxes, float[1,{boxes}] scores, int32[1,{boxes}] groups)
            => (int32[1,10] kept, int32[1] count)
        {{ kept, count = {DOMAIN}.GroupedNms <iou_threshold = 0.5, score_threshold = 0.0, max_output = 10,
            num_groups = 2, plugin_namespace = "maskrt", plugin_version = "1"> (boxes, scores, groups) }}"""
    )
    attach_bodies(model)
    return model


@pytest.mark.parametrize("version", [(8, 6), (10, 3), (11, 4)])
def test_more_boxes_than_tensorrts_nms_considers_need_the_plugin(version: tuple[int, int]) -> None:
    assert prepare(with_nms(5000), version, "body", "model.onnx").graph.node
    assert prepare(with_nms(5001), version, "plugin", "model.onnx").graph.node
    with pytest.raises(
        ExportError, match=r"5001 boxes an image.*maskrt build model\.onnx --operators plugin"
    ):
        prepare(with_nms(5001), version, "body", "model.onnx")


def test_a_newer_opset_than_documented_is_refused() -> None:
    model = small("g (float[4] x) => (float[4] y) { y = Relu (x) }", 21)
    assert refusals(model, (10, 3)) == ["opset 21, the newest it takes is 20"]
    assert refusals(model, (11, 4)) == []


def test_what_8_6_would_take_newer_versions_may_take_too() -> None:
    """Dynamic axes came with 10.7: the limit is the version's, not the operator's."""
    model = small("g (float[2,9] x, int64[1] a) => (float[n,m] y) { y = Squeeze (x, a) }")
    assert refusals(model, (10, 7)) == []


RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("version", [(8, 6), (10, 3), (11, 4)])
@pytest.mark.parametrize(
    "constant",
    ["value_int = 3", "value_ints = [3, 4]", "value_float = 3.5", "value_floats = [3.5, 4.5]",
     "value = float[2] {3, 4}", "value = int64 {3}"],
)  # fmt: skip
def test_every_constant_becomes_an_initializer_of_the_same_value(
    constant: str, version: tuple[int, int]
) -> None:
    model = small(
        "g (float[2] x) => (float[2] y)"
        f" {{ c = Constant <{constant}> () d = Cast <to = 1> (c) y = Add (x, d) }}"
    )
    x = np.array([0.5, 0.25], np.float32)
    (expected,) = run(model, x=x)
    prepared = prepare(model, version, "plugin", "model.onnx")
    assert [node.op_type for node in prepared.graph.node] == ["Cast", "Add"]
    np.testing.assert_array_equal(run(prepared, x=x)[0], expected)


X = RANDOM.normal(size=(2, 3, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "feed"),
    [
        ("g (float[2,3,4] x) => (float[2,3,2] a, float[2,3,2] b)"
         " { a, b = Split <axis = 2, num_outputs = 2> (x) }", {"x": X}),
        ("g (float[2,3,4] x) => (float[2,3] y) <int64[1] axes = {2}> { y = ReduceMin <keepdims = 0> (x, axes) }",
         {"x": X}),
        ("g (float[2,3,4] x) => (float[2,1,1] y)"
         " { axes = Constant <value_ints = [1, -1]> () y = ReduceMax (x, axes) }", {"x": X}),
        ("g (float[n,m,4] x) => (int64[2] y) { y = Shape <start = 1, end = 3> (x) }", {"x": X}),
        ("g (float[n,m,4] x) => (int64[1] y) { y = Shape <start = -1> (x) }", {"x": X}),
        ("g (float[1,1,3,4] x) => (float[1,1,6,8] y) <int64[4] to = {1, 1, 6, 8}>"
         " { y = Resize <mode = \"nearest\", antialias = 0, nearest_mode = \"floor\","
         " coordinate_transformation_mode = \"asymmetric\"> (x, , , to) }", {"x": X[:1, None]}),
        ("g (int64[2,5] x) => (int64[2] y) <int64[1] axes = {1}> { y = ReduceSum <keepdims = 0> (x, axes) }",
         {"x": RANDOM.integers(0, 9, (2, 5))}),
    ],
    ids=["split", "reduce", "reduce-constant", "shape", "shape-end", "resize", "integer-sum"],
)  # fmt: skip
def test_a_form_for_8_6_computes_the_same(text: str, feed: dict[str, Any]) -> None:
    model = small(text)
    expected = run(model, **feed)
    said = onnx.ModelProto()
    said.CopyFrom(model)
    run_passes(said, FOR_8_6)
    said = onnx.shape_inference.infer_shapes(said)
    onnx.checker.check_model(said, full_check=True)
    assert said.opset_import[0].version == 17
    assert refusals(model, (8, 6))
    assert refusals(said, (8, 6)) == []
    for one, other in zip(expected, run(said, **feed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_slice_to_the_end_on_8_6_ends_at_the_last_number_of_32_bits() -> None:
    """8.6 has no 64-bit integers: it cuts larger ones, and a smaller one might be within the rows."""
    model = small("g (float[n,m,4] x) => (int64[2] y) { y = Shape <start = 1> (x) }")
    prepared = prepare(model, (8, 6), "plugin", "model.onnx")
    held = {tensor.name: onnx.numpy_helper.to_array(tensor).tolist() for tensor in prepared.graph.initializer}
    assert held == {"y/starts": [1], "y/ends": [2_147_483_647]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g (float[5] x) => (float[3] a, float[2] b) { a, b = Split <num_outputs = 2> (x) }", "splits 5 rows into 2"),
        ("g (float[2,3] x, int64[1] a) => (float[n,m] y) { y = ReduceMin (x, a) }", "axes that are no constant"),
        ("g (float[2] x) => (float[2] y) { y = Mish (x) }", r"\(Mish\) is of opset 18"),
        ("g (float[2,3] x) => (float[2,5] y) <int64[2] p = {1, 1}, int64[1] a = {1}>"
         " { y = Pad (x, p, , a) }", r"\(Pad\) names axes"),
        ("g (float[4] x, int64[1,1] i, float[1] u) => (float[4] y)"
         " { y = ScatterND <reduction = \"max\"> (x, i, u) }", "has reduction=b'max'"),
    ],
)  # fmt: skip
def test_what_has_no_form_for_8_6_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        LowerToOpset17()(small(text))


def test_the_message_names_the_file_the_version_and_the_next_step() -> None:
    model = small("g (float[4] x) => (float[4] y) { y = Cosh (x) }")
    with pytest.raises(
        ExportError, match=r"some\.onnx: TensorRT 10\.3 does not take it: node .*Export it again"
    ):
        prepare(model, (10, 3), "plugin", "some.onnx")


def test_an_export_for_small_devices_says_so_in_its_contract(random_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(random_checkpoint)
    large = dataclasses.replace(checkpoint.config, min_size_px=800, max_size_px=1333, rpn_post_nms_test=1000)
    small = for_small_devices(dataclasses.replace(checkpoint, config=large)).contract()
    assert (small.canvas.min_size_px, small.canvas.max_size_px) == (384, LONG_SIDE_PX)
    assert small.config["rpn_post_nms_test"] == PROPOSALS
    assert for_small_devices(checkpoint).config == checkpoint.config  # small enough already


@pytest.mark.parametrize("version", [(8, 6), (10, 3), (11, 4)])
def test_a_symmetric_quantised_model_passes(version: tuple[int, int]) -> None:
    model = small(
        """g (float[1,4,8,8] x) => (float[1,4,8,8] y)
        <float s = {0.1}, int8 z = {0}, float[4] ws = {0.1, 0.2, 0.3, 0.4}, int8[4] wz = {0, 0, 0, 0},
         int8[4,4,1,1] w = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16}>
        {
            wd = DequantizeLinear <axis = 0> (w, ws, wz)
            q = QuantizeLinear (x, s, z)
            d = DequantizeLinear (q, s, z)
            c = Conv (d, wd)
            y = Relu (c)
        }"""
    )
    prepared = prepare(model, version, "plugin", "model.int8.onnx")
    x = np.random.default_rng(1).normal(size=(1, 4, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(run(prepared, x=x)[0], run(model, x=x)[0])
