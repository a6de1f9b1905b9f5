"""Finds few layers to put back to float so that a plan passes the gate, in few evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from maskrt.calibration.decide.gate import Verdict
from maskrt.calibration.decide.plan import Plan

MOST_EVALUATIONS = 7  # of the search; with that of the plan it begins with eight
NEGLIGIBLE = 1e-3  # of the largest harm: how layers below differ says nothing


def fall_back(
    plan: Plan, harm: Mapping[str, float], judge: Callable[[Plan], Verdict]
) -> tuple[Plan, Verdict] | None:
    """Find a plan that passes with few of the most harmed layers in float.

    harm: of each layer in eight bits, from 0 on. How many must go back is found by bisection; each trial
    halves how likely the numbers that are left are together (`likely`). Assumes that a plan which passes
    still does with the next layer in float. Returns (plan, verdict), or None where nothing but float passes.
    """
    ranked = sorted(harm, key=lambda name: -harm[name])
    chance = likely(np.array([harm[name] for name in ranked]))
    failed, passed = 0, len(ranked)  # layers in float; all of them is the float model
    best: tuple[Plan, Verdict] | None = None
    for _ in range(MOST_EVALUATIONS):
        if passed - failed < 2:
            break
        # Entry k is the chance that k + 1 layers are the fewest.
        below = np.cumsum(chance[failed:passed])
        count = failed + 1 + int(np.argmin(np.abs(below[:-1] - below[-1] / 2)))
        trial = plan.with_float(ranked[:count])
        verdict = judge(trial)
        if verdict.passes:
            best, passed = (trial, verdict), count
        else:
            failed = count
    return best


def likely(harm: NDArray[np.float64]) -> NDArray[np.float64]:
    """How likely just 1, 2, … n layers must go back, in sum 1. harm: of each (n,), the largest first.

    Half of it is the same for each number. The other half follows the steps of the harm, by its logarithm:
    where a few layers have a hundred times the harm of the next, it is probably these.
    """
    if not len(harm):
        return harm
    even = np.full(len(harm), 1 / len(harm))
    heights = np.log(np.append(harm, 0) + max(NEGLIGIBLE * harm[0], np.finfo(float).tiny))
    steps = -np.diff(heights)
    steps[-1] = 0  # all layers is the float model, which is no plan
    return (even + steps / steps.sum()) / 2 if steps.any() else even
