"""Searches for a plan that passes the gate: the one asked for, or one with a few layers back in float."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from onnx import ModelProto

from maskrt.calibration.decide.fallback import MOST_EVALUATIONS, fall_back
from maskrt.calibration.decide.gate import Judge, Verdict
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.decide.sensitivity import Build, Distortion, distortions
from maskrt.calibration.rewrite.placement import place
from maskrt.calibration.rewrite.qdq import Ranges
from maskrt.runtime.commands.cli import say
from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import AccuracyError
from maskrt.runtime.parity.judgement import show

WORST_NAMED = 3  # tensors in the message of a failed gate
MOST_NAMED = 12  # layers in the message of one that passed


@dataclass(frozen=True)
class Search:
    """Searches with the float32 model, its tensors' ranges, and the judge of what `build` makes of a plan.

    plan: the one that was asked for.
    """

    source: ModelProto
    contract: Contract
    ranges: Ranges
    judge: Judge
    build: Build
    plan: Plan

    def check_scales(self, limit: float) -> None:
        """Raise AccuracyError, naming the tensors, if scales cannot come from images like those judged by.

        limit: of the share of a tensor's signal that is lost.
        """
        if wrong := [d for d in self._distortions if not d.error <= limit]:
            named = "".join(f"\n  {distortion}" for distortion in wrong[:WORST_NAMED])
            raise AccuracyError(
                f"{len(wrong)} scales do not fit the images that the model is judged by:{named}\n"
                "Calibrate on images like these. If scales.json was changed, delete it to measure again. To "
                "allow more: --max-distortion"
            )

    def passing_plan(self, *, fixed: bool, anyway: bool = False) -> tuple[Plan, Verdict]:
        """Find a plan that passes: the one asked for, or unless `fixed` one with layers back in float.

        Every plan is judged alike (`Verdict.passes`), the first as those of the search. Layers go back in the
        order of their harm, which is known before any evaluation. anyway: take the plan asked for, whatever
        it loses. Raises AccuracyError, naming the worst tensors, where no plan passes.
        """
        verdict = self._verdict(self.plan)
        if anyway or verdict.passes:
            return self.plan, verdict
        show(verdict.report, f"the plan that was asked for: {self.plan.summary}")
        named = "".join(f"\n  {line}" for line in self._suspects())
        reasons = "; ".join(verdict.failures)
        if fixed:
            raise AccuracyError(
                f"the plan does not pass: {reasons}. Worst:{named}\n"
                "Let maskrt look for a plan: leave --plan out. Or write the file all the same: --anyway"
            )
        say(
            f"does not pass: {reasons}. Worst:{named}\nLooking for the layers that must go back to float, in "
            f"at most {MOST_EVALUATIONS} evaluations."
        )
        found = fall_back(self.plan, self._harm(), self._trial)
        if found is None:
            raise AccuracyError(
                f"no plan with a layer in INT8 passes: {reasons}. Worst:{named}\n"
                "Look at the calibration images, try --method mse, allow more with --max-ap-drop and "
                "--limit, or write the file all the same: --anyway"
            )
        back = [name for name in self.plan.int8_layers if name in found[0].float_layers]
        more = f" and {len(back) - MOST_NAMED} more, which the plan lists" if len(back) > MOST_NAMED else ""
        say(
            f"passes after {self.judge.verdicts} evaluations with {len(back)} layers back in float: "
            f"{', '.join(back[:MOST_NAMED])}{more}"
        )
        return found

    def _trial(self, plan: Plan) -> Verdict:
        """The verdict on a plan of the search, which is told."""
        verdict = self._verdict(plan)
        back = len(self.plan.int8_layers) - len(plan.int8_layers)
        undecided = verdict.report.undecided
        ended = f"passes, undecided: {undecided}" if undecided else "passes"
        if not verdict.passes:
            ended = f"does not pass: {verdict.failures[0]}"
        say(f"evaluation {self.judge.verdicts}: {back} layers back in float {ended}")
        return verdict

    def _verdict(self, plan: Plan) -> Verdict:
        return self.judge.judge(self.build(plan))

    def _harm(self) -> dict[str, float]:
        """How much each INT8 layer harms: the worst tensor that it reads or makes, by the layers it reaches.

        What the stem loses, all layers compute with; what a mask head loses, the masks alone.
        """
        graph, lost = Graph(self.source.graph), {d.tensor: d.harm for d in self._distortions}
        return {
            name: graph.reach(name) * max((lost.get(t, 0.0) for t in graph.around(name)), default=0.0)
            for name in self.plan.int8_layers
        }

    def _suspects(self) -> list[str]:
        """Likely causes of a failed gate, as text: last layers in INT8, then the worst tensors."""
        last = [name for name in self.plan.int8_layers if self.contract.layers.is_output(name)]
        lines = [f"last layers in INT8: {', '.join(last)}"] if last else []
        return lines + [str(distortion) for distortion in self._distortions[:WORST_NAMED]]

    @cached_property
    def _distortions(self) -> list[Distortion]:
        """Distortions of the tensors that the plan puts into eight bits, the worst first."""
        plan = self.plan
        pairs = place(Graph(self.source.graph), plan.int8_layers, plan.flavour).scale_groups
        ranges = {name: self.ranges[name] for name in pairs if name in self.ranges}
        return distortions(self.source, ranges, plan.flavour, self.judge.images, self.contract)
