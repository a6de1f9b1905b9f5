"""Where Q/DQ pairs stand, on graphs small enough to say it of every tensor.

TensorRT's rules are those of its documentation, "Explicit Quantization", Q/DQ placement; for the CPU what
counts is which integer kernels ONNX Runtime makes of the graph, so that is what is asserted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.flavours import CPU, TENSORRT
from maskrt.calibration.rewrite.placement import place
from maskrt.calibration.rewrite.qdq import Quantise
from maskrt.runtime.backends.ort_session import load_onnx
from maskrt.runtime.errors import ModelError
from tests.calibration.graphs import kernels, pairs, parse, quantised, run, sample, scale, seen_ranges

CONV3 = "<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>"


@pytest.fixture(scope="module")
def residual() -> ModelProto:
    """A basic block: its shortcut is its input."""
    return parse(
        f"""float[1, 8, 16, 16] x) => (float[1, 8, 16, 16] y {{
            c0 = Conv {CONV3} (x, stem_weight, stem_bias)
            r0 = Relu (c0)
            c1 = Conv {CONV3} (r0, a_weight, a_bias)
            r1 = Relu (c1)
            c2 = Conv {CONV3} (r1, b_weight, b_bias)
            sum = Add (c2, r0)
            r2 = Relu (sum)
            y = Conv {CONV3} (r2, c_weight, c_bias)
        }}""",
        {f"{n}.{kind}": s for n in ("stem", "a", "b", "c") for kind, s in SHAPES8.items()},
    )


SHAPES8 = {"weight": (8, 8, 3, 3), "bias": (8,)}


def test_residual_block_tensorrt_quantises_the_shortcut_and_not_the_convolution_beside_it(
    residual: ModelProto,
) -> None:
    """So that convolution, Add and ReLU become one kernel that reads the shortcut in eight bits."""
    assert pairs(quantised(residual, TENSORRT)) == {
        "x": {"c0"},
        "r0": {"c1", "sum"},
        "r1": {"c2"},
        "r2": {"y"},
    }


def test_residual_block_cpu_leaves_nothing_but_integer_kernels(residual: ModelProto, tmp_path: Path) -> None:
    int8 = quantised(residual, CPU)
    assert set(pairs(int8)) == {"x", "r0", "r1", "c2", "r2"}
    made = kernels(int8, str(tmp_path))
    assert made.count("QLinearConv") == 3
    assert made.count("QLinearAdd") == 1
    assert not {"Relu", "Add"} & set(made)
    assert made.count("Conv") == 1, "the last, whose output leaves the graph in float"


def test_a_block_whose_shortcut_is_a_convolution_keeps_the_main_path_in_one_kernel() -> None:
    model = parse(
        f"""float[1, 8, 16, 16] x) => (float[1, 8, 16, 16] y {{
            main = Conv {CONV3} (x, a_weight, a_bias)
            down = Conv <kernel_shape = [1, 1]> (x, d_weight, d_bias)
            sum = Add (main, down)
            r = Relu (sum)
            y = Conv {CONV3} (r, c_weight, c_bias)
        }}""",
        {f"{n}.{k}": s for n in ("a", "c") for k, s in SHAPES8.items()}
        | {"d.weight": (8, 8, 1, 1), "d.bias": (8,)},
    )
    assert pairs(quantised(model, TENSORRT)) == {"x": {"main", "down"}, "down": {"sum"}, "r": {"y"}}


@pytest.fixture(scope="module")
def fpn() -> ModelProto:
    """The top-down merge: a lateral convolution plus the level above, doubled."""
    return parse(
        f"""float[1, 8, 16, 16] x) => (float[1, 8, 16, 16] y {{
            pooled = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
            top = Conv <kernel_shape = [1, 1]> (pooled, t_weight, t_bias)
            side = Conv <kernel_shape = [1, 1]> (x, l_weight, l_bias)
            factors = Constant <value_floats = [1.0, 1.0, 2.0, 2.0]> ()
            none = Constant <value_floats = [0.0]> ()
            up = Resize <mode = "nearest", nearest_mode = "floor", coordinate_transformation_mode = "asymmetric">
                (top, , factors)
            merged = Add (side, up)
            y = Conv {CONV3} (merged, o_weight, o_bias)
        }}""",
        {"t.weight": (8, 8, 1, 1), "t.bias": (8,), "l.weight": (8, 8, 1, 1), "l.bias": (8,)}
        | {f"o.{k}": s for k, s in SHAPES8.items()},
    )


def test_fpn_merge_tensorrt_resizes_eight_bits_with_one_scale(fpn: ModelProto) -> None:
    int8 = quantised(fpn, TENSORRT)
    assert pairs(int8) == {
        "x": {"pooled", "side"},
        "pooled": {"top"},
        "top": {"up"},
        "up": {"merged"},
        "merged": {"y"},
    }
    assert scale(int8, "top") == scale(int8, "up")
    assert scale(int8, "x") == scale(int8, "pooled"), "MaxPool only chooses among its input's values"
    assert scale(int8, "merged") != scale(int8, "up")


def test_fpn_merge_cpu(fpn: ModelProto, tmp_path: Path) -> None:
    made = kernels(quantised(fpn, CPU), str(tmp_path))
    assert made.count("QLinearConv") == 2, "all but the last, whose output leaves the graph in float"
    assert made.count("QLinearAdd") == 1
    assert "Add" not in made


@pytest.mark.parametrize("flavour", [CPU, TENSORRT])
def test_all_tensors_of_a_concat_share_a_scale(flavour: str) -> None:
    model = parse(
        f"""float[1, 8, 16, 16] x) => (float[1, 8, 16, 16] y {{
            a = Conv <kernel_shape = [1, 1]> (x, a_weight, a_bias)
            b = Conv <kernel_shape = [1, 1]> (x, b_weight, b_bias)
            both = Concat <axis = 1> (a, b)
            y = Conv {CONV3} (both, c_weight, c_bias)
        }}""",
        {"a.weight": (8, 8, 1, 1), "a.bias": (8,), "b.weight": (8, 8, 1, 1), "b.bias": (8,)}
        | {"c.weight": (8, 16, 3, 3), "c.bias": (8,)},
    )
    int8 = quantised(model, flavour)
    assert {"x", "a", "b", "both"} <= set(pairs(int8))
    assert scale(int8, "a") == scale(int8, "b") == scale(int8, "both")
    ranges = seen_ranges(model)
    peak = max(max(-low, high) for low, high in (ranges["a"], ranges["b"]))
    if flavour == TENSORRT:
        assert scale(int8, "both") == pytest.approx(peak / 127), "it must hold the widest of them"


@pytest.fixture(scope="module")
def deconvolution() -> ModelProto:
    return parse(
        f"""float[1, 8, 8, 8] x) => (float[1, 4, 16, 16] y {{
            c = Conv {CONV3} (x, a_weight, a_bias)
            r = Relu (c)
            y = ConvTranspose <kernel_shape = [2, 2], strides = [2, 2]> (r, up_weight, up_bias)
        }}""",
        {"a.weight": (8, 8, 3, 3), "a.bias": (8,), "up.weight": (8, 4, 2, 2), "up.bias": (4,)},
    )


def test_deconvolution_tensorrt_has_a_scale_for_each_output_channel_on_axis_1(
    deconvolution: ModelProto,
) -> None:
    int8 = quantised(deconvolution, TENSORRT)
    assert pairs(int8) == {"x": {"c"}, "r": {"y"}}
    dq = Graph(int8.graph).producer["up.weight/dequantised"]
    assert [a.i for a in dq.attribute if a.name == "axis"] == [1]
    assert Graph(int8.graph).initializers["up.weight/scale"].dims == [4]


def test_deconvolution_cpu_stays_in_float(deconvolution: ModelProto, tmp_path: Path) -> None:
    made = kernels(quantised(deconvolution, CPU), str(tmp_path))
    assert (made.count("ConvTranspose"), made.count("QLinearConv")) == (1, 1)


@pytest.mark.parametrize(("transposed", "shape", "axis"), [(1, (5, 16), 0), (0, (16, 5), 1)])
@pytest.mark.parametrize("flavour", [CPU, TENSORRT])
def test_gemm(flavour: str, transposed: int, shape: tuple[int, int], axis: int, tmp_path: Path) -> None:
    model = parse(
        f"""float[3, 16] x) => (float[3, 5] y {{
            y = Gemm <transB = {transposed}> (x, fc_weight, fc_bias)
        }}""",
        {"fc.weight": shape, "fc.bias": (5,)},
    )
    int8 = quantised(model, flavour)
    assert set(pairs(int8)) == {"x"}
    dq = Graph(int8.graph).producer["fc.weight/dequantised"]
    assert [a.i for a in dq.attribute if a.name == "axis"] == [axis]
    if flavour == CPU:
        assert "QGemm" in kernels(int8, str(tmp_path))
        assert Graph(int8.graph).initializers["fc.bias/y/quantised"].data_type == TensorProto.INT32
    else:
        assert "fc.bias" in Graph(int8.graph).initializers, "TensorRT takes a bias in float"


@pytest.mark.parametrize("flavour", [CPU, TENSORRT])
def test_the_custom_operator_gets_float_and_its_body_is_left_alone(flavour: str) -> None:
    model = parse(
        f"""float[1, 8, 16, 16] x) => (float[1, 8, 16, 16] y {{
            p = Conv {CONV3} (x, a_weight, a_bias)
            also = Conv {CONV3} (p, b_weight, b_bias)
            pooled = maskrt.PyramidRoiAlign (p)
            z = Conv {CONV3} (pooled, c_weight, c_bias)
            y = Add (z, also)
        }}""",
        {f"{n}.{k}": s for n in ("a", "b", "c") for k, s in SHAPES8.items()},
        functions="""
        <domain: "maskrt", opset_import: ["": 18]>
        PyramidRoiAlign (feature) => (pooled) { doubled = Add (feature, feature)
            pooled = Identity (doubled) }
        """,
    )
    int8 = quantised(model, flavour)
    found = pairs(int8)
    assert found["p"] == {"also", "pooled"}, "DQ before the operator"
    assert found["pooled"] == {"z"}, "Q after it"
    assert int8.functions == model.functions
    assert not {"doubled", "feature"} & set(found)


def test_a_layer_that_the_plan_keeps_in_float_reads_the_float(residual: ModelProto) -> None:
    int8 = quantised(residual, TENSORRT, ["stem", "b", "c"])
    assert "c1" not in pairs(int8).get("r0", set())
    assert list(Graph(int8.graph).producer["c1"].input) == ["r0", "a.weight", "a.bias"]


def test_levels_that_share_a_head_share_its_weights_and_not_their_scales(tmp_path: Path) -> None:
    model = parse(
        f"""float[1, 8, 16, 16] x) => (float[1, 8, 16, 16] y {{
            low = Conv {CONV3} (x, head_weight, head_bias)
            y = Conv {CONV3} (low, head_weight, head_bias)
        }}""",
        {f"head.{k}": s for k, s in SHAPES8.items()},
    )
    assert [len(layer.nodes) for layer in Graph(model.graph).layers.values()] == [2]
    int8 = quantised(model, CPU)
    stored = [t.name for t in int8.graph.initializer if t.data_type == TensorProto.INT8 and t.dims]
    assert stored.count("head.weight/quantised") == 1
    assert scale(int8, "x") != scale(int8, "low")
    assert kernels(int8, str(tmp_path)).count("QLinearConv") == 1, "and the last gives the output in float"


def test_tensorrt_flavour_is_symmetric_throughout(residual: ModelProto) -> None:
    """Its zero points must be 0 (TensorRT: only symmetric quantisation)."""
    for tensor in quantised(residual, TENSORRT).graph.initializer:
        if tensor.name.endswith("/zero_point"):
            assert tensor.data_type == TensorProto.INT8
            assert not numpy_helper.to_array(tensor).any()


def test_cpu_flavour_is_unsigned_and_holds_zero_exactly(residual: ModelProto) -> None:
    int8 = quantised(residual, CPU)
    zero = {
        t.name: numpy_helper.to_array(t) for t in int8.graph.initializer if t.name.endswith("/zero_point")
    }
    assert zero["r0/zero_point"].dtype == np.uint8
    assert zero["r0/zero_point"] == 0, "all 256 steps for what a ReLU leaves"
    assert 0 < zero["x/zero_point"] < 255


def test_weights_are_stored_in_eight_bits_and_the_float_ones_are_gone(residual: ModelProto) -> None:
    int8 = quantised(residual, CPU)
    assert not [t.name for t in int8.graph.initializer if t.name.endswith((".weight", ".bias"))]
    floats = sum(np.prod(t.dims) for t in residual.graph.initializer) * 4
    assert (
        sum(np.prod(t.dims) for t in int8.graph.initializer if "weight/quantised" in t.name) < 0.26 * floats
    )


def test_half_graphs_get_half_scales_and_the_opset_that_takes_them(residual: ModelProto) -> None:
    half = ModelProto()
    half.CopyFrom(residual)
    for tensor in half.graph.initializer:
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (half.graph.input[0], half.graph.output[0]):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    half = onnx.shape_inference.infer_shapes(half)
    inner = [*half.graph.value_info, half.graph.input[0]]
    del half.graph.value_info[:]
    half.graph.value_info.extend(inner)
    Quantise(place(Graph(residual.graph), ["a", "b"], TENSORRT), seen_ranges(residual))(half)
    onnx.checker.check_model(half, full_check=True)
    assert [o.version for o in half.opset_import if o.domain == ""] == [19]
    scales = [t for t in half.graph.initializer if t.name.endswith("/scale")]
    assert {t.data_type for t in scales} == {TensorProto.FLOAT16}


def test_biases_that_the_file_keeps_in_half_are_not_rounded_by_onnx_runtime(tmp_path: Path) -> None:
    """Left alone it counts their steps in float16, where 65504 is the end."""
    model = parse(
        f"""float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y {{
            h = Cast <to = 10> (x)
            c = Conv {CONV3} (h, a_weight, a_bias)
            r = Relu (c)
            d = Conv {CONV3} (r, b_weight, b_bias)
            y = Cast <to = 1> (d)
        }}""",
        {f"{n}.{k}": s for n in "ab" for k, s in {"weight": (4, 4, 3, 3), "bias": (4,)}.items()},
        dtype=np.float16,
        scaled=0.1,
    )
    bias = Graph(model.graph).initializers["a.bias"]
    bias.CopyFrom(numpy_helper.from_array(np.full(4, 0.2, np.float16), "a.bias"))
    model = onnx.shape_inference.infer_shapes(model)
    small = sample(model) * np.float32(0.1)
    ranges = {"h": (float(small.min()), float(small.max())), "r": (0.0, 0.5)}
    Quantise(place(Graph(model.graph), ["a", "b"], TENSORRT), ranges)(model)
    path = tmp_path / "half.onnx"
    onnx.save_model(model, path)
    as_written = onnxruntime.SessionOptions()
    as_written.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    sessions = (
        onnxruntime.InferenceSession(path, as_written, providers=["CPUExecutionProvider"]),
        load_onnx(str(path), "half.onnx", "cpu"),
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]),
    )
    expected, ours, theirs = (session.run(None, {"x": small})[0] for session in sessions)
    scale = np.linalg.norm(expected)
    assert np.linalg.norm(ours - expected) < 0.002 * scale, "half precision's own rounding"
    assert np.linalg.norm(theirs - expected) > 0.02 * scale, "mended: WRONG_OPTIMISERS can go"


def test_a_plan_for_another_model_is_refused(residual: ModelProto) -> None:
    with pytest.raises(ModelError, match=r"layers that the model has not: nowhere"):
        place(Graph(residual.graph), ["nowhere", "a"], CPU)


@pytest.mark.parametrize("flavour", [CPU, TENSORRT])
def test_a_wrong_scale_shows(residual: ModelProto, flavour: str) -> None:
    """The comparison that all of these tests rest on can fail."""
    ranges = seen_ranges(residual)
    ranges["r1"] = (ranges["r1"][0] / 20, ranges["r1"][1] / 20)
    int8 = ModelProto()
    int8.CopyFrom(residual)
    Quantise(place(Graph(residual.graph), ["a", "b", "c"], flavour), ranges)(int8)
    error = np.linalg.norm(run(int8) - run(residual)) / np.linalg.norm(run(residual))
    assert error > 0.2
