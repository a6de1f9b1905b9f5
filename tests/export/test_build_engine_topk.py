"""TopK over long axes, for TensorRT alone: in groups and over their survivors, to the last tie the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto

from maskrt.export.engine import long_topk
from maskrt.export.engine.long_topk import GroupLongTopK, best_groups
from maskrt.export.engine.prepare import prepare
from maskrt.export.engine.values import Values
from maskrt.models.parts.tensorrt_limits import TOPK_LIMIT


def top(rows: str, length: str, k: int, attributes: str = "axis = 1") -> ModelProto:
    return onnx.shape_inference.infer_shapes(
        onnx.parser.parse_model(
            f"""<ir_version: 8, opset_import: ["": 17]>
            g (float[{rows},{length}] x) => (float[{rows},{k}] best, int64[{rows},{k}] rows) <int64[1] k = {{{k}}}>
            {{ best, rows = TopK <{attributes}> (x, k) }}"""
        )
    )


def run(model: ModelProto, x: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})


def lengths(model: ModelProto) -> list[int]:
    """Of the axes that the model's TopKs go along."""
    values = Values(onnx.shape_inference.infer_shapes(model).graph)
    found = [values.extent(node.input[0], -1) for node in model.graph.node if node.op_type == "TopK"]
    return [length for length in found if length is not None]


@pytest.mark.parametrize(
    ("length", "k", "expected"),
    [
        (201_600, 1000, [14_400, 14_000]),  # P2 of 800 × 1344
        (50_400, 1000, [7200, 7000]),  # P3
        (90_000, 3840, [18_000, 19_200]),  # 90 classes of 1000 RoIs
        (12_600, 1000, [12_600]),  # P4: short
        (1_209_600, 1000, [34_560, 35_000]),
        (63_000, 6000, [63_000]),  # C4: two thirds would be left
        (100_003, 10, [100_003]),  # a prime
    ],
)
def test_the_two_axes_are_as_short_as_can_be(length: int, k: int, expected: list[int]) -> None:
    groups = best_groups(length, k)
    assert ([length // groups, groups * k] if groups > 1 else [length]) == expected


@pytest.mark.parametrize("version", [(8, 6), (10, 3), (11, 4)])
@pytest.mark.parametrize("attributes", ["axis = 1", "axis = -1, largest = 0", "sorted = 1"])
def test_every_tensorrt_is_given_groups_and_gets_the_same(attributes: str, version: tuple[int, int]) -> None:
    model = top("2", "20000", 50, attributes)
    prepared = prepare(model, version, "plugin", "model.onnx")
    assert lengths(prepared) == [1000, 1000]
    x = np.random.default_rng(0).integers(0, 500, (2, 20_000)).astype(np.float32)  # 40 of each value
    for expected, actual in zip(run(model, x), run(prepared, x), strict=True):
        np.testing.assert_array_equal(expected, actual)


@settings(max_examples=40)
@given(
    groups=st.integers(2, 6),
    each=st.integers(1, 8),
    rows=st.integers(1, 3),
    kinds=st.integers(1, 12),
    data=st.data(),
)
def test_ties_come_in_the_same_order(
    groups: int, each: int, rows: int, kinds: int, data: st.DataObject
) -> None:
    """Few kinds of values among many, -inf among them, which pads a level of unknown size."""
    k = data.draw(st.integers(1, each))
    seed = data.draw(st.integers(0, 9999))
    values = np.r_[-np.inf, np.arange(kinds)].astype(np.float32)
    x = np.random.default_rng(seed).choice(values, (rows, groups * each))
    model = top("n", str(groups * each), k)
    grouped = onnx.ModelProto()
    grouped.CopyFrom(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_topk, "best_groups", lambda length, k: groups)
        assert GroupLongTopK()(grouped)
    assert len([node for node in grouped.graph.node if node.op_type == "TopK"]) == 2
    for expected, actual in zip(run(model, x), run(grouped, x), strict=True):
        np.testing.assert_array_equal(expected, actual)


@pytest.mark.parametrize(
    ("rows", "length", "k", "attributes"),
    [("1", "n", 50, "axis = 1"), ("20000", "30000", 50, "axis = 0"), ("1", "16000", 50, "axis = 1")],
    ids=["of unknown length", "along another axis", "short"],
)
def test_another_topk_is_left_as_it_is(rows: str, length: str, k: int, attributes: str) -> None:
    given = top(rows, length, k, attributes)
    prepared = prepare(given, (10, 3), "plugin", "model.onnx")
    assert [node.op_type for node in prepared.graph.node] == ["TopK"]


def test_each_step_stays_within_tensorrts_limit() -> None:
    prepared = prepare(top("1", "90000", TOPK_LIMIT), (10, 3), "plugin", "model.onnx")
    steps = [node for node in prepared.graph.node if node.op_type == "TopK"]
    assert [Values(prepared.graph).constant(node.input[1]) for node in steps] == [[TOPK_LIMIT]] * 2
