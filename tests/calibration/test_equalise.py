"""Cross-layer equalisation: which layers it joins, by which factors, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.flavours import TENSORRT
from maskrt.calibration.options import Asked
from maskrt.calibration.rewrite.equalise import EqualiseLayers, ReplaceWeights, joints
from maskrt.runtime.errors import CalibrationError
from tests.calibration.graphs import parse, quantised, run

ONE = "<kernel_shape = [1, 1]>"
SHAPES = {"weight": (4, 4, 1, 1), "bias": (4,)}
LARGER = 100.0  # a channel; every other then has one of the 127 steps


def chain(between: str = "r = Relu (c)", more: str = "", attributes: str = ONE) -> ModelProto:
    return parse(
        f"""float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y {{
            c = Conv {ONE} (x, a_weight, a_bias)
            {between}
            {more or f"y = Conv {attributes} (r, b_weight, b_bias)"}
        }}""",
        {f"{n}.{k}": s for n in "ab" for k, s in SHAPES.items()},
    )


def scale(model: ModelProto, name: str, index: object, factor: float) -> None:
    tensor = Graph(model.graph).initializers[name]
    values = numpy_helper.to_array(tensor).copy()
    values[index] *= factor  # type: ignore[index]
    tensor.CopyFrom(numpy_helper.from_array(values, name))


def uneven_chain() -> ModelProto:
    model = chain()
    for name, index, factor in (
        ("a.weight", 1, LARGER),
        ("a.bias", 1, LARGER),
        ("b.weight", (slice(None), 1), 1 / LARGER),
    ):
        scale(model, name, index, factor)
    return model


def weight(model: ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(Graph(model.graph).initializers[name])


def test_each_channel_gets_the_root_of_the_ratio_of_its_weights_as_a_power_of_two() -> None:
    model = chain()
    given = {
        "a.weight": np.diag([8.0, 1, 3, 5]).reshape(4, 4, 1, 1),
        "a.bias": np.ones(4),
        "b.weight": np.diag([0.5, 4, 3, 0]).reshape(4, 4, 1, 1),
    }
    ReplaceWeights(given)(model)
    equalise = EqualiseLayers()
    assert equalise(model)
    weights = equalise.weights
    # √(8 / 0.5) = 4; √(1 / 4) = ½; 3 on both sides; a channel that nobody reads
    np.testing.assert_array_equal(np.diag(weights["a.weight"][:, :, 0, 0]), [2, 2, 3, 5])
    np.testing.assert_array_equal(weights["a.bias"], [0.25, 2, 1, 1])
    np.testing.assert_array_equal(np.diag(weights["b.weight"][:, :, 0, 0]), [2, 2, 3, 0])
    np.testing.assert_array_equal(weight(model, "a.weight"), weights["a.weight"])


def test_in_float_the_model_is_the_same_to_the_last_bit() -> None:
    model = uneven_chain()
    expected, before = run(model), weight(model, "a.weight").copy()
    EqualiseLayers()(model)
    assert not np.array_equal(weight(model, "a.weight"), before)
    np.testing.assert_array_equal(run(model), expected)


def test_a_large_channel_no_longer_costs_the_others_their_steps() -> None:
    def error(model: ModelProto) -> float:
        expected = run(model)
        return float(np.linalg.norm(run(quantised(model, TENSORRT)) - expected) / np.linalg.norm(expected))

    uneven, evened = uneven_chain(), uneven_chain()
    EqualiseLayers()(evened)
    with pytest.raises(AssertionError, match="relative error"):  # tests/calibration/graphs.py: below 5%
        error(uneven)
    assert error(evened) < 0.02


@pytest.mark.parametrize(
    ("why", "model"),
    [
        ("no ReLU between", chain("r = Identity (c)")),
        (
            "two readers",
            chain(
                more=f"""d = Conv {ONE} (r, b_weight, b_bias)
            y = Add (d, r)"""
            ),
        ),
        (
            "an addition between",
            chain("""s = Add (c, x)
            r = Relu (s)"""),
        ),
        (
            "weights used twice",
            chain(
                more=f"""d = Conv {ONE} (r, b_weight, b_bias)
            y = Conv {ONE} (d, b_weight, b_bias)"""
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_factor_is_moved_where_the_function_would_change(why: str, model: ModelProto) -> None:
    assert joints(Graph(model.graph)) == [], why


def test_a_grouped_convolution_shares_its_weights_among_channels_and_is_left_alone() -> None:
    model = parse(
        f"""float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y {{
            c = Conv {ONE} (x, a_weight, a_bias)
            r = Relu (c)
            y = Conv <kernel_shape = [1, 1], group = 2> (r, b_weight, b_bias)
        }}""",
        {"a.weight": (4, 4, 1, 1), "a.bias": (4,), "b.weight": (4, 2, 1, 1), "b.bias": (4,)},
    )
    assert joints(Graph(model.graph)) == []


def test_ranges_from_elsewhere_and_equalised_weights_do_not_go_together() -> None:
    with pytest.raises(CalibrationError, match=r"--equalise changes the ranges, and trt\.cache holds"):
        Asked(equalise=True).check_equalise(Path("trt.cache"), {})
    with pytest.raises(CalibrationError, match="the scales that training learned are those of the model"):
        Asked(equalise=True).check_equalise(None, {"backbone.body.conv1.input.0": 0.1})
    Asked(equalise=True).check_equalise(None, {})
