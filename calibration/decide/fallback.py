"""Finds few layers to put back to float so that a plan passes the gate, in few evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from maskrt.calibration.decide.gate import Verdict
from maskrt.calibration.decide.plan import Plan

MOST_EVALUATIONS = 7  # of the search; with that of the plan it begins with eight
BY_HARM = 3  # of these, the first ones halve the harm that is left, the others the number of layers


def fall_back(
    plan: Plan, harm: Mapping[str, float], judge: Callable[[Plan], Verdict]
) -> tuple[Plan, Verdict] | None:
    """Find a plan that passes with few of the most harmed layers in float.

    harm: of each layer in eight bits, from 0 on. Where a few layers have nearly all of it, halving it finds
    them at once; after that the number of layers is halved. Assumes that a plan which passes still does with
    the next layer in float. Returns (plan, verdict), or None where nothing but float passes.
    """
    ranked = sorted(harm, key=lambda name: -harm[name])
    before = np.cumsum([0.0, *(harm[name] for name in ranked)])  # harm of as many layers in float
    failed, passed = 0, len(ranked)  # layers in float; all of them is the float model
    best: tuple[Plan, Verdict] | None = None
    for number in range(MOST_EVALUATIONS):
        if passed - failed < 2:
            break
        count = (failed + passed) // 2
        if number < BY_HARM:
            half = (before[failed] + before[passed]) / 2
            count = int(np.clip(np.searchsorted(before, half), failed + 1, passed - 1))
        trial = plan.with_float(ranked[:count])
        verdict = judge(trial)
        if verdict.settled:
            best, passed = (trial, verdict), count
        else:
            failed = count
    return best
