"""Finds few layers to put back to float so that a plan passes the gate, in few evaluations."""

from __future__ import annotations

from collections.abc import Callable

from maskrt.calibration.decide.gate import Verdict
from maskrt.calibration.decide.plan import Plan


def fall_back(
    plan: Plan, ranked: list[str], judge: Callable[[Plan], Verdict]
) -> tuple[Plan, Verdict, list[str]] | None:
    """Find a plan that passes with few of the most sensitive groups in float.

    One, two, four, … groups are tried, then those between the most that failed and the fewest that passed, by
    bisection.

    ranked: groups of the plan, the most sensitive first. Assumes that a plan which passes still does with
    one more group in float. Returns (plan, verdict, groups in float), or None where nothing but float passes.
    """
    failed, count, most = 0, 1, len(ranked)  # groups in float; all of them is the float model
    best: tuple[Plan, Verdict, list[str]] | None = None
    while failed + 1 < most:
        trial = plan.without(ranked[:count])
        verdict = judge(trial)
        if not verdict.settled:
            failed = count
        else:
            best, most = (trial, verdict, ranked[:count]), count
        count = min(2 * count, most - 1) if best is None else (failed + most) // 2
    return best


def most_evaluations(groups: int, layers: int) -> int:
    """An upper bound of the evaluations that `fall_back` and then `give_back` need."""
    return 2 * groups.bit_length() + layers.bit_length()


def give_back(
    plan: Plan, verdict: Verdict, layers: list[str], judge: Callable[[Plan], Verdict]
) -> tuple[Plan, Verdict]:
    """Find a plan that passes with more of the layers in eight bits again, by bisection.

    plan: one that passes, and its verdict. layers: in float there, the least harmed by eight bits first.
    Assumes that a plan which fails still does with one more layer in eight bits. Returns (plan, verdict).
    """
    passed, failed = 0, len(layers) + 1  # layers given back
    best = plan, verdict
    while passed + 1 < failed:
        count = (passed + failed) // 2
        trial = plan.with_int8(layers[:count])
        verdict = judge(trial)
        if not verdict.settled:
            failed = count
        else:
            best, passed = (trial, verdict), count
    return best
