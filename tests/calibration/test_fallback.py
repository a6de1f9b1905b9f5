"""Which layers go back to float where a plan does not pass: few, found in few evaluations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from maskrt.calibration.decide.fallback import MOST_EVALUATIONS, fall_back
from maskrt.calibration.decide.gate import Verdict
from maskrt.calibration.decide.harm import harm_of, readers, weight_power
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.decide.sensitivity import _relative
from maskrt.runtime.parity.report import Report
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.match import Matching, Pair
from maskrt.runtime.tasks.instances.compare.tolerances import INT8
from tests.calibration.graphs import parse

LAYERS = [f"g{i}" for i in range(8)]  # eight groups of a layer each
PLAN = Plan("cpu", "minmax", {group: {f"{group}.conv": "int8"} for group in LAYERS})


def verdict(*, passes: bool) -> Verdict:
    """Of a candidate whose one instance matches, or is not found."""
    pair = Pair(
        0, 0, score_difference=0.0, box_difference_px=0.0, mask_iou=1.0, boundary_px=0.0, label=0, score=1.0
    )
    report, one = Report(InstancesComparison(INT8)), np.ones(1, np.float32)
    matching = Matching((pair,), (), ()) if passes else Matching((), (0,), ())
    report.results.add_matching("a.png", matching, one, one)
    return Verdict(report, "mask_ap")


def searched(needed: list[str], harm: dict[str, float]) -> tuple[tuple[Plan, Verdict] | None, list[int]]:
    """The search, where a plan passes once the layers `needed` are in float; and the numbers that it tried."""
    tried: list[int] = []

    def judge(trial: Plan) -> Verdict:
        tried.append(len(trial.float_layers))
        return verdict(passes=set(needed) <= set(trial.float_layers))

    return fall_back(plan_of(list(harm)), harm, judge), tried


def plan_of(layers: list[str]) -> Plan:
    return Plan("cpu", "minmax", {name: {name: "int8"} for name in layers})


@pytest.mark.parametrize("needed", [1, 2, 5, 21, 22, 40, 62, 63])
def test_the_fewest_layers_are_found_in_eight_evaluations(needed: int) -> None:
    """Where eight bits harm all layers alike."""
    layers = [f"l{i}" for i in range(64)]

    found, tried = searched(layers[:needed], dict.fromkeys(layers, 1.0))

    assert found is not None
    assert found[0].float_layers == layers[:needed]
    assert found[1].passes
    assert 1 + len(tried) <= 8, "with the plan that was asked for"


def test_a_few_layers_with_most_of_the_harm_are_tried_first() -> None:
    layers = [f"l{i}" for i in range(64)]
    harm = dict.fromkeys(layers, 0.001) | {"l7": 0.9, "l40": 0.8}

    found, tried = searched(["l7", "l40"], harm)

    assert found is not None
    assert found[0].float_layers == ["l7", "l40"]
    assert tried == [2, 1], "where the harm falls most, and whether one less is enough"


def test_layers_without_harm_are_searched_too() -> None:
    found, _ = searched(["l0"], {"l0": 0.0, "l1": 0.0, "l2": 0.0})

    assert found is not None
    assert found[0].float_layers == ["l0"]


@pytest.mark.parametrize("layers", [1, 2, 64, 300])
def test_where_nothing_passes_there_is_no_plan(layers: int) -> None:
    harm = {f"l{i}": 1.0 for i in range(layers)}
    found, tried = searched(["none"], harm)

    assert found is None
    assert len(tried) <= MOST_EVALUATIONS


def test_the_best_plan_that_was_found_counts_where_there_is_no_time_for_the_fewest_layers() -> None:
    layers = [f"l{i}" for i in range(1000)]
    found, tried = searched(layers[:300], dict.fromkeys(layers, 1.0))

    assert found is not None
    assert 300 <= len(found[0].float_layers) <= 308
    assert len(tried) == MOST_EVALUATIONS


def read_by(weights: NDArray[np.float32], op: str = "Conv <kernel_shape = [1, 1]>") -> Graph:
    """A graph whose tensor `x` a layer reads, behind a MaxPool."""
    made = weights.shape[op.startswith("ConvTranspose")]
    text = f"""float[1, 64, 8, 8] x) => (float[1, {made}, 4, 4] y {{
        pooled = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
        y = {op} (pooled, a_weight)
    }}"""
    model = parse(text, {"a.weight": weights.shape})
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "a.weight"))
    return Graph(model.graph)


def in_256_steps(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.rint(values / values.max() * 255) / 255 * values.max()


def test_harm_is_the_noise_that_the_readers_weights_let_through() -> None:
    """Four channels a hundred times as large as the rest: of all values next to nothing is lost."""
    random = np.random.default_rng(0)
    value = np.abs(random.normal(size=(1, 64, 16, 16))).astype(np.float32)
    weights = random.normal(size=(64, 64, 1, 1)).astype(np.float32)
    uneven, quieter = value.copy(), weights.copy()
    uneven[:, :4] *= 100
    quieter[:, :4] /= 100
    unread = weights.copy()
    unread[:, 4:] = 0

    assert _relative(in_256_steps(uneven), uneven) < 0.05
    assert harm_of(read_by(weights), "x", in_256_steps(value), value) < 0.001
    assert harm_of(read_by(quieter), "x", in_256_steps(uneven), uneven) > 0.1, "the same function, in float"
    assert harm_of(read_by(unread), "x", in_256_steps(uneven), uneven) < 0.001, "what is rounded nobody reads"
    assert harm_of(read_by(quieter), "y", in_256_steps(uneven), uneven) < 0.001, "read by no weights"


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        ("Conv <kernel_shape = [1, 1]>", (32, 64, 1, 1)),
        ("Conv <kernel_shape = [1, 1], group = 32>", (32, 2, 1, 1)),
        ("ConvTranspose <kernel_shape = [1, 1]>", (64, 32, 1, 1)),
    ],
)
def test_the_weights_of_a_channel_are_found_in_every_kind_of_layer(op: str, shape: tuple[int, ...]) -> None:
    """Only what reads channel 5 is not 0."""
    weights = np.zeros(shape, np.float32)
    if op.startswith("ConvT"):
        weights[5] = 2
    elif "group" in op:
        weights[2, 1] = 2  # the third group reads channels 4 and 5
    else:
        weights[:, 5] = 2
    graph = read_by(weights, op)

    (node,) = readers(graph, "x")
    assert np.flatnonzero(weight_power(graph, node)).tolist() == [5]


def test_a_layer_is_judged_by_the_tensors_that_it_reads_and_makes() -> None:
    """Two blocks of a residual stream: what the second adds to is not the first's alone to mend."""
    model = parse(
        """float[1, 4, 8, 8] x) => (float[1, 4, 4, 4] y {
            pooled = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
            a = Conv <kernel_shape = [1, 1]> (pooled, a_weight)
            sum_a = Add (a, pooled)
            stage_a = Relu (sum_a)
            b = Conv <kernel_shape = [1, 1]> (stage_a, b_weight)
            sum_b = Add (b, stage_a)
            y = Relu (sum_b)
        }""",
        {"a.weight": (4, 4, 1, 1), "b.weight": (4, 4, 1, 1)},
    )
    graph = Graph(model.graph)
    assert graph.around("a") == {"x", "pooled", "a", "sum_a", "stage_a"}
    assert graph.around("b") == {"stage_a", "b", "sum_b", "y"}


def test_a_layer_reaches_those_that_compute_with_what_it_makes() -> None:
    model = parse(
        """float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y, float[1, 4, 8, 8] z {
            a = Conv <kernel_shape = [1, 1]> (x, a_weight)
            b = Relu (a)
            c = Conv <kernel_shape = [1, 1]> (b, c_weight)
            y = Conv <kernel_shape = [1, 1]> (c, y_weight)
            z = Conv <kernel_shape = [1, 1]> (b, z_weight)
        }""",
        {f"{name}.weight": (4, 4, 1, 1) for name in "acyz"},
    )
    graph = Graph(model.graph)
    assert {name: graph.reach(name) for name in "acyz"} == {"a": 4, "c": 2, "y": 1, "z": 1}


def test_a_plan_says_how_much_of_the_model_it_puts_into_eight_bits() -> None:
    assert PLAN.summary == "8 of 8 layers in INT8"
    assert PLAN.without(LAYERS[:3]).summary == "5 of 8 layers in INT8"
