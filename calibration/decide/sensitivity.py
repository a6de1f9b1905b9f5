"""Measures how much each group of layers loses in eight bits: quantised alone, and left out alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from maskrt.calibration.decide.gate import Judge, Verdict
from maskrt.calibration.decide.harm import harm_of
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import CPU
from maskrt.calibration.measure.collect import open_exposed
from maskrt.calibration.measure.images import CalibrationImage, batches
from maskrt.calibration.rewrite.qdq import INT8_MAX, UINT8_MAX, Ranges, activation_scale
from maskrt.runtime.commands.cli import track
from maskrt.runtime.contract import IMAGE_SIZES, IMAGES, PREFIX, Contract
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.kinds import PLOT

Build = Callable[[Plan], ModelProto]
RANKING_IMAGES = 4  # enough to order groups whose losses differ several times over


@dataclass(frozen=True)
class Row:
    """One group: the loss with only this group in eight bits, and with only this group in float.

    stage_errors: relative error ‖quantised − float‖ / ‖float‖ at its maps (`Contract.inside`), alone.
    """

    group: str
    alone: Verdict
    left_out: Verdict
    stage_errors: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "group": self.group,
            "alone": self.alone.to_dict(),
            "left_out": self.left_out.to_dict(),
            "stage_errors": self.stage_errors,
        }


def analyse(plan: Plan, base: ModelProto, build: Build, judge: Judge, contract: Contract) -> list[Row]:
    """Analyse every group of the plan on a few images. Returns the most sensitive first."""
    stages = [PREFIX + stage for stage in contract.inside.maps]
    images = judge.images[:RANKING_IMAGES]
    expected = _run(base, stages, images, contract)
    rows = []
    for group in track(plan.int8_groups, "Sensitivity"):
        alone = build(plan.only(group))
        errors = [
            {stage: _relative(one[stage], other[stage]) for stage in stages}
            for one, other in zip(_run(alone, stages, images, contract), expected, strict=True)
        ]
        means = {stage.removeprefix(PREFIX): float(np.mean([e[stage] for e in errors])) for stage in stages}
        left_out = judge.judge(build(plan.without([group])), RANKING_IMAGES)
        rows.append(Row(group, judge.judge(alone, RANKING_IMAGES), left_out, means))
    return sorted(rows, key=lambda row: -row.alone.loss)


@dataclass(frozen=True)
class Distortion:
    """How well a tensor's 8-bit scale fits images: relative rounding error, and the share of values clipped.

    layer: that the tensor comes from. harm: the share of noise in what is computed with it (`harm_of`). Where
    a few channels are far larger than the rest, the scale is theirs: of all values next to nothing is lost,
    and of most channels nearly everything.
    """

    tensor: str
    layer: str
    error: float
    harm: float
    clipped: float
    scale_range: tuple[float, float]
    seen_range: tuple[float, float]

    def __str__(self) -> str:
        (low, high), (least, most) = self.scale_range, self.seen_range
        place = f" (after {self.layer})" if self.layer else ""
        return (
            f"'{self.tensor}'{place}: {self.error:.0%} of its signal is lost, {self.clipped:.1%} of it "
            f"clipped; its scale covers {low:.3g} to {high:.3g}, its values on these images are "
            f"{least:.3g} to {most:.3g}"
        )


def distortions(
    base: ModelProto, ranges: Ranges, flavour: str, images: list[CalibrationImage], contract: Contract
) -> list[Distortion]:
    """Measure every tensor that has a range, with the float model on one image. Returns the worst first."""
    tensors, graph = sorted(ranges), Graph(base.graph)
    found: list[Distortion] = []
    for values in _run(base, tensors, images[:1], contract):
        for tensor, value in values.items():
            if not value.size or not value.any():
                continue
            low, high = ranges[tensor]
            scale, zero = activation_scale(low, high, flavour)
            floor, top = (-zero, UINT8_MAX - zero) if flavour == CPU else (-INT8_MAX - 1, INT8_MAX)
            steps = np.rint(value / scale)
            rounded = np.clip(steps, floor, top) * scale
            found.append(
                Distortion(
                    tensor,
                    graph.layer_before(tensor),
                    _relative(rounded, value),
                    harm_of(graph, tensor, rounded, value),
                    float(np.mean((steps < floor) | (steps > top))),
                    (floor * scale, top * scale),
                    (float(value.min()), float(value.max())),
                )
            )
    return sorted(found, key=lambda d: -d.error)


def _run(
    model: ModelProto, tensors: list[str], images: list[CalibrationImage], contract: Contract
) -> list[dict[str, np.ndarray]]:
    session = open_exposed(model, tensors)
    found = []
    for batch in batches(images, contract.canvas, contract.batch):
        values = session.run(tensors, {IMAGES: batch.images, IMAGE_SIZES: batch.image_sizes})
        found.append({name: np.asarray(v, np.float32) for name, v in zip(tensors, values, strict=True)})
    return found


def _relative(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(actual - expected) / max(float(np.linalg.norm(expected)), 1e-12))


def plot(rows: list[Row], output: Path) -> None:
    """Plot the loss by group, and the error by stage with one group in eight bits, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    names, places = [row.group for row in rows], np.arange(len(rows))
    left.barh(places - 0.2, [row.alone.loss for row in rows], 0.4, label="alone")
    left.barh(places + 0.2, [row.left_out.loss for row in rows], 0.4, label="left out")
    left.set_yticks(places, names)
    left.invert_yaxis()
    left.set(xlabel="loss against the float model (Verdict.loss)", title="In eight bits")
    left.legend()
    maps = list(rows[0].stage_errors)
    errors = np.array([[row.stage_errors[stage] for stage in maps] for row in rows])
    shown = right.imshow(errors, aspect="auto", cmap="viridis")
    right.set_xticks(np.arange(len(maps)), maps, rotation=90, fontsize=7)
    right.set_yticks(places, names)
    right.set_title("Relative error at each stage, the group alone in eight bits")
    figure.colorbar(shown, ax=right)
    with atomic_path(output, PLOT) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)
