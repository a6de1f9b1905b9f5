"""The steps of `maskrt calibrate`, in order: read, equalise, plan, measure, judge, search, write."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx
from onnx import ModelProto

from maskrt.calibration.decide.candidate import build, check_made_alike, read_model, share_in_int8, sign
from maskrt.calibration.decide.gate import Verdict, open_judge
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.decide.report import write_sensitivity
from maskrt.calibration.decide.search import Search
from maskrt.calibration.decide.sensitivity import analyse
from maskrt.calibration.flavours import METHOD, TENSORRT
from maskrt.calibration.measure.images import CalibrationImage
from maskrt.calibration.measure.ranges import KnownRanges, measured
from maskrt.calibration.measure.scales import Key
from maskrt.calibration.options import Asked, Judging
from maskrt.calibration.rewrite.equalise import EQUALISED, EqualiseLayers, ReplaceWeights
from maskrt.runtime.backends.onnx_weights import check_weights
from maskrt.runtime.commands.cli import say
from maskrt.runtime.contract import LEARNED_SCALES, Contract
from maskrt.runtime.errors import AccuracyError, CalibrationError
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.kinds import ONNX
from maskrt.runtime.parity.judgement import show
from maskrt.runtime.parity.sides import judged_by_score_alone
from maskrt.runtime.tasks import task_of


@dataclass(frozen=True)
class Floats:
    """The float models: `source` is float32 and is measured, `base` gets the eight bits.

    They are the same unless --onto names a half-precision one. learned: scales by module, from training.
    """

    path: Path
    source: ModelProto
    contract: Contract
    base: ModelProto
    base_contract: Contract
    learned: dict[str, float]


def read_floats(path: Path, asked: Asked) -> Floats:
    """Read the models, and check that they belong together.

    Raises ModelError for files that are none of maskrt's, and for two that are not of one model.
    """
    source, contract = read_model(path, "fp32")
    check_weights(path)  # before ranges of NaN are measured, and kept
    base, base_contract = read_model(asked.onto, "fp16") if asked.onto else (source, contract)
    if asked.onto:
        check_made_alike(asked.onto, base_contract, path, contract)
    follows_training = asked.flavour == TENSORRT and not asked.from_cache
    learned = contract.precision.details.get(LEARNED_SCALES, {}) if follows_training else {}
    return Floats(path, source, contract, base, base_contract, learned)


def check_limits(floats: Floats, judging: Judging) -> None:
    """Raise OptionError for a limit that the models' task has not, before ranges are measured."""
    judging.comparison(task_of(floats.contract), "int8")


def equalise(floats: Floats) -> bool:
    """Equalise the channels of both models, in place. Returns whether there was anything to equalise."""
    rescale = EqualiseLayers()
    rescale(floats.source)
    ReplaceWeights(rescale.weights)(floats.base)
    return bool(rescale.weights)


def first_plan(floats: Floats, asked: Asked) -> Plan:
    """The plan of the file that was given, or the default one.

    Raises CalibrationError for a plan of other layers, another flavour or another method, AccuracyError for
    one that puts the last layers into INT8 without --last-layers.
    """
    graph, path = Graph.of(floats.source), asked.plan
    if path is None:
        return Plan.default(graph, asked.flavour, asked.method or METHOD, last_layers=asked.last_layers)
    plan = Plan.read(path)
    if plan.flavour != asked.flavour:
        raise CalibrationError(f"{path}: a plan for --flavour {plan.flavour}, not {asked.flavour}.")
    if asked.method not in (None, plan.method):
        raise CalibrationError(
            f"{path}: a plan by --method {plan.method}, not {asked.method}. Leave --method out."
        )
    if unknown := [name for name in (*plan.int8_layers, *plan.float_layers) if name not in graph.layers]:
        raise CalibrationError(
            f"{path}: names layers that the model has not: {', '.join(unknown[:3])}. Mend the names, or have "
            "a plan made: leave --plan out."
        )
    last = [name for name in plan.int8_layers if graph.names.is_output(name)]
    if last and not asked.last_layers:
        raise AccuracyError(
            f"{path}: puts the last layers into INT8 ({', '.join(last)}), where 256 steps decide between "
            "classes and box edges. Set them to float, or ask for it: --last-layers"
        )
    return plan


def known_ranges(
    floats: Floats,
    asked: Asked,
    method: str,
    images: list[CalibrationImage],
    *,
    pixels_sha256: str,
    scales: Path,
    equalised: bool,
) -> KnownRanges:
    """The ranges of the tensors: TensorRT's cache, or measured on `images` and kept in the file `scales`."""
    if asked.from_cache:
        known = KnownRanges.of_cache(asked.from_cache)
    else:
        key = Key.of(floats.path, floats.contract, pixels_sha256, equalised=equalised)
        known = KnownRanges.of_images(measured(floats.source, key, floats.contract, images, scales), method)
    return known.with_learned(floats.source, floats.learned)


def open_search(
    floats: Floats, known: KnownRanges, plan: Plan, judging: Judging, images: list[CalibrationImage]
) -> Search:
    """The search for a plan that passes, which begins with `plan`; judged on --val, or on some of `images`.

    Raises CalibrationError for ranges or a plan of another graph, before anything is run.
    """
    make = partial(build, floats.base, ranges=known.ranges)
    make(plan)
    judge = open_judge(
        floats.path,
        images,
        judging,
        judging.val,
        by_score_alone=bool(judging.val) and judged_by_score_alone(floats.contract),
        images_dir=judging.val_images,
        class_name=judging.class_name,
    )
    return Search(floats.source, floats.contract, known.ranges, judge, make, plan)


def write_losses(search: Search, path: Path) -> None:
    """Write what each group of layers loses in eight bits, as a plot and as figures."""
    rows = analyse(search.plan, search.source, search.build, search.judge, search.contract)
    write_sensitivity(path, rows)


def find_plan(floats: Floats, search: Search, judging: Judging, *, fixed: bool) -> tuple[Plan, Verdict]:
    """Find a plan that passes, and what it loses; `fixed`: the one asked for, or AccuracyError."""
    if not floats.learned:  # training may have found that the largest values are best clipped
        search.check_scales(judging.max_distortion)
    return search.passing_plan(fixed=fixed, anyway=judging.anyway)


def write_model(
    floats: Floats,
    asked: Asked,
    known: KnownRanges,
    search: Search,
    plan: Plan,
    verdict: Verdict,
    output: Path,
) -> None:
    """Write the INT8 model, its history in its contract, and its plan beside it."""
    show(verdict.report, f"{output.name}, {asked.flavour}: {len(search.judge.images)} images")
    int8 = search.build(plan)
    reached = {"flavour": asked.flavour, EQUALISED: asked.equalise, "float_layers": plan.float_layers}
    sign(int8, floats.base_contract, {**known.details, **reached, "loss": verdict.to_dict()})
    with atomic_path(output, ONNX) as temporary:
        onnx.save_model(int8, temporary)
    plan.write(output.with_suffix(".plan.json"))
    work = known.multiply_adds
    share = f", {share_in_int8(plan, work):.1%} of the multiply-adds in INT8" if work else ""
    size, before = output.stat().st_size, floats.path.stat().st_size
    say(f"{output}: {size / 1e6:.0f} MB of {before / 1e6:.0f} MB{share}")
