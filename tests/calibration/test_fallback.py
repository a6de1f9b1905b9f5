"""Which layers go back to float where a plan does not pass: few, found in few evaluations."""

from __future__ import annotations

import numpy as np
import pytest

from maskrt.calibration.decide.fallback import fall_back, give_back, most_evaluations
from maskrt.calibration.decide.gate import Limits, Verdict
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.runtime.parity.report import Report
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.match import Matching, Pair
from maskrt.runtime.tasks.instances.compare.tolerances import INT8
from tests.calibration.graphs import parse

LAYERS = [f"g{i}" for i in range(8)]  # eight groups of a layer each
PLAN = Plan("cpu", "minmax", {group: {f"{group}.conv": "int8"} for group in LAYERS})


def verdict(*, passes: bool) -> Verdict:
    """Of a candidate whose instances all match, and whose AP is that of the float model, or none at all."""
    pair = Pair(
        0, 0, score_difference=0.0, box_difference_px=0.0, mask_iou=1.0, boundary_px=0.0, label=0, score=1.0
    )
    report, one = Report(InstancesComparison(INT8)), np.ones(1, np.float32)
    report.results.add_matching("a.png", Matching((pair,), (), ()), one, one)
    return Verdict(report, 1.0 if passes else 0.0, 1.0, Limits(0.3, 0.97))


@pytest.mark.parametrize(
    ("needed", "order"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 4, 3]), (4, [1, 2, 4, 3]), (5, [1, 2, 4, 7, 5]),
     (6, [1, 2, 4, 7, 5, 6]), (7, [1, 2, 4, 7, 5, 6])],
)  # fmt: skip
def test_the_fewest_groups_are_found_in_few_evaluations(needed: int, order: list[int]) -> None:
    """The plan passes once the `needed` most sensitive groups are in float."""
    tried: list[int] = []

    def judge(trial: Plan) -> Verdict:
        tried.append(len(trial.float_layers))
        return verdict(passes=tried[-1] >= needed)

    found = fall_back(PLAN, LAYERS, judge)
    assert found is not None
    assert found[2] == LAYERS[:needed]
    assert found[0] == PLAN.without(LAYERS[:needed])
    assert tried == order, "up in powers of two, down by bisection"


def test_where_nothing_passes_there_is_no_plan() -> None:
    assert fall_back(PLAN, LAYERS, lambda trial: verdict(passes=False)) is None


@pytest.mark.parametrize("needed", range(9))
def test_layers_that_need_not_be_float_return_to_eight_bits(needed: int) -> None:
    """All eight are in float, those first that eight bits harm least; the last `needed` must stay."""
    tried: list[int] = []
    names = [f"{group}.conv" for group in LAYERS]

    def judge(trial: Plan) -> Verdict:
        tried.append(len(trial.float_layers))
        return verdict(passes=tried[-1] >= needed)

    plan, last = give_back(PLAN.without(LAYERS), verdict(passes=True), names, judge)
    assert plan.float_layers == names[len(names) - needed :]
    assert not last.failures
    assert len(tried) <= 4, "by bisection over nine answers"


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


@pytest.mark.parametrize("groups", [1, 2, 3, 8, 13])
def test_no_search_takes_more_evaluations_than_was_said(groups: int) -> None:
    names = [f"g{i}" for i in range(groups)]
    plan = Plan("cpu", "minmax", {name: {f"{name}.{i}": "int8" for i in range(3)} for name in names})
    for needed in range(groups + 1):
        tried: list[Plan] = []

        def judge(trial: Plan, needed: int = needed, tried: list[Plan] = tried) -> Verdict:
            tried.append(trial)
            return verdict(passes=len(trial.float_layers) >= needed)

        if found := fall_back(plan, names, judge):
            passing, last, back = found
            give_back(passing, last, [layer for name in back for layer in plan.layers[name]], judge)
        assert len(tried) <= most_evaluations(groups, 3 * groups)


def test_a_plan_says_how_much_of_the_model_it_puts_into_eight_bits() -> None:
    assert PLAN.summary == "8 of 8 layers in INT8"
    assert PLAN.without(LAYERS[:3]).summary == "5 of 8 layers in INT8"
