"""The checker checked: with any of its comparisons blinded, a fault that it alone names is named no more.

A row: a function of the checker, a piece of it, what a mutation puts in its place, a fault (tests.runtime.
played), and what parity says of that fault. The function as it is must say it, the mutant must not.
"""

from __future__ import annotations

import importlib
import inspect
import textwrap
from types import FunctionType

import pytest

from tests.runtime import played

MISSED, EXTRA = "0.jpg: 1 instances of the reference missed", "0.jpg: 1 instances the reference has not"
IN_FP32 = """
judge._add | errors = instance_errors(matching, flipped, limit) | errors = [] | score | detections is the first
judge._add | errors += compare_stages( | compare_stages( | stage | C3 is the first stage
judge._add | ours.scores, theirs.scores, | theirs.scores, ours.scores, | reordered | another order
judge._add | report.add(name, matching, ours.scores, theirs.scores, flipped) | pass | reordered | another order
judge._add | ours = dataclasses.replace(ours, crops=expected.crops) | pass | pasted | masks is the first stage
judge._add | report.inside(stage, contract.precision) | report.inside(stage, "int8") | stage | C3 is the
paste._alike | <= within_px | <= 1e9 | box | mask IoU
match.match | overlap[reference.labels[:, None] != candidate.labels[None]] = 0 | pass | two_labels | 2 instances
match.match | overlap[overlap < MATCH_IOU] = 0 | pass | half_a_box | {MISSED}
match.match | missed=tuple( | missed=() and ( | lost | {MISSED}
match.match | extra=tuple( | extra=() and ( | repeated | {EXTRA}
match.match | abs(float(reference.scores[r]) - float(candidate.scores[c])) | 0.0 | score | score differs by 0.01
match.match | np.abs(reference.boxes[r] - candidate.boxes[c]).max() | 0 | box | box differs by 1 px
match.match | _of_crops(crop_iou, reference, candidate, r, c) | 1.0 | mask | mask IoU
match.box_iou | out=np.zeros_like(union), where=union > 0 | out=np.ones_like(union), where=False | box_elsewhere | {MISSED}
match.crop_iou | full[0] & full[1] | np.logical_or(*full) | mask | mask IoU
match.Matching.same_order | return False | return True | reordered | another order
flips._is_flip | - contract.score_threshold) <= limit.flip_score | - contract.score_threshold) <= 1 | lost | {MISSED}
flips._is_flip | len(other) == contract.max_detections and | True and | lost | {MISSED}
flips._is_flip | <= limit.flip_iou | <= 1 | lost_under_another | {MISSED}
report.Report.add | missed = [ | missed = [] and [ | lost | {MISSED}
report.Report.add | extra = [ | extra = [] and [ | repeated | {EXTRA}
report.Report.failures | [] if first is None else | [] if True else | stage | C3 is the first stage
report.Report._failures_by_image | if lost := len(image["missed_scores"]) - | if lost := 0 and - | lost | {MISSED}
report.Report._failures_by_image | if lost := len(image["extra_scores"]) - | if lost := 0 and - | repeated | {EXTRA}
report.Report._failures_by_image | if not image["same_order"] | if False | reordered | another order
report.Report._failures_by_image | if not worst <= limit.score | if False | score | 0.jpg: score differs by 0.01
report.Report._failures_by_image | if not worst <= limit.box_px | if False | box | 0.jpg: box differs by 1 px
report.Report._failures_by_image | if not worst >= limit.mask_iou | if False | mask | 0.jpg: mask IoU
stage_report.instance_errors | if missed or extra | if False | lost | 1 instances of the reference missed, 0 extra
stage_report.instance_errors | elif not score <= limit.score | elif False | score | detections is the first
stage_report.instance_errors | elif not box_px <= limit.box_px | elif False | box | detections is the first
stage_report.instance_errors | if iou >= limit.mask_iou | if True | mask | masks is the first stage
stage_report.StageReport.add | for error in errors if error.reason | for error in () | stage | C3 is the first
stage_report.StageReport.add | first = min( | first = max( | stage_and_later | C3 is the first stage
stages.measure | return StageError(stage, reason=reason) | return StageError(stage) | shape | its shape is (4, 8, 4)
stages.measure | snr_db < limit.snr_db | False | stage | SNR 40.0 dB
stages.measure | relative > limit.relative_error | False | one_value | largest error
stages.measure | snr_db = -IDENTICAL_DB | pass | out_of_nothing | SNR -200.0 dB
stages.compare_stages | if bad := int( | if bad := 0 and ( | not_finite | 1 values are NaN or infinite
stages.compare_stages | short = both.compared < expected | short = False | fewer_proposals | 70.0% are on both sides
stages.compare_stages | (1 - both.tied) | 0 | fewer_proposals | 70.0% are on both sides
stages.tied_proposals | np.diff(best) == 0 | np.diff(best) <= 0 | fewer_proposals | 70.0% are on both sides
stages.same_boxes | <= within_px | <= 1e9 | moved_proposals | 0.0% are on both sides
stages.align | sample.pair(name, found, *rows) | sample.pair(name, sample.values, *rows) | a_roi | box_features is the
stages.align | sample.pair(name, found, *rows) | sample.pair(name, sample.values, *rows) | a_mask_roi | mask_features is
culprits.culprits | if error.not_finite | if False | not_finite | overflow: float16 holds 65504 at most
promises.broken_promises | theirs[name] != value | False | promise | says nms_threshold 0.6
promises.broken_promises | ours[IDENTITY] != theirs[IDENTITY] | False | stale | a stale file
report.Report.failures | [*self.promises, *self.laid] | [] | promise | says nms_threshold 0.6
culprits.canvas_culprits | if height >= h and width >= w and | if False and | padded | beyond the reference's 96x96
culprits.canvas_culprits | if not np.abs( | if False and np.abs( | padding | the padding is not zero
culprits.canvas_culprits | if _explains(seen | if False and _explains(seen | bgr | BGR where RGB is expected
culprits.canvas_culprits | if _explains(theirs[:, lit] | if False and _explains(theirs | other_std | another mean or std
culprits._explains | left <= EXPLAINED**2 * before | False | bgr | BGR where RGB is expected
instances.box_culprits | offsets[counts.argmax()] and | False and | labels | labels off by +1: class index
instances.box_culprits | if p.box_difference_px > limit.box_px | if False | boxes | decoded with other weights
instances._nms_culprits | above.mean() >= MOST | False | kept_beside_a_better | NMS with a higher threshold
instances._nms_culprits | 0 < lost.min() <= nms_threshold | False | lost_under_another | NMS with a lower threshold
instances.mask_culprits | p.mask_iou < limit.mask_iou | False | pasted | pasted (-1, +0) px off
rois.proposal_culprits | if len(same) >= min( | if False and min( | fewer_proposals | another NMS threshold, or number
rois.proposal_culprits | >= SAME_OBJECT_IOU | >= 2 | moved_proposals | anchors off by a part of a stride
rois.proposal_culprits | <= SAME_SIZE | <= -1 | moved_proposals | anchors off by a part of a stride
rois.proposal_culprits | <= SAME_SIZE | <= 1e9 | larger_proposals | boxes of another size
rois.pooling_culprits | > SAME_POOLED**2 * power | > 1e9 * power | rois | wrong for RoIs of every size
rois.pooling_culprits | if len(strides_px) > 1 and ( | if False and ( | rois_of_p4 | belong to P4; possible: pooled from another
rois.fpn_levels | np.clip(level, lowest, highest) | np.full(len(level), 2) | rois_of_p4 | belong to P4
"""
ON_AVERAGE = """
report.Report._failures_on_average | if not self.matched >= limit.matched | if False | lost | 75.0% of the instances
report.Report.matched | max(missed, extra) | 0 | lost | 75.0% of the instances matched
report.Report._failures_on_average | and not self.mean(key) <= allowed | and False | scores | score differs by 0.02
report.Report._failures_on_average | and not self.mean(key) <= allowed | and False | boxes | box differs by 2 px on average
report.Report._failures_on_average | not self.mean("mask_ious") >= limit.mask_iou | False | masks | mean mask IoU
judge._add | contract, within_px=limit.rounding_px | contract, within_px=1e9 | boxes | mean mask IoU
"""
OF_THE_TASK = """
task.Task.add | (reference, candidate), strict | (reference, reference), strict | lost | lower box AP
task.Task.add | (reference, candidate), strict | (candidate, reference), strict | lost | lower box AP
task.Task._of | np.quantile(differences | np.quantile(np.abs(differences) | lost | lower box AP
task.Task._of | _average_precision(sides[1], d) | _average_precision(sides[0], d) | lost | lower box AP
task._evaluated | coco_evaluation(truth, rows, name) | coco_evaluation(truth, rows, "box") | masks | lower mask AP
task._average_precision | precision[precision > -1].mean() | 1 | lost | lower box AP
"""
SETTINGS = {IN_FP32: ("fp32", 1), ON_AVERAGE: ("fp16", 1), OF_THE_TASK: ("fp32", 3)}
MUTANTS = [
    (*map(str.strip, line.format(MISSED=MISSED, EXTRA=EXTRA).split(" | ")), *setting)
    for table, setting in SETTINGS.items()
    for line in table.strip().splitlines()
]


@pytest.mark.parametrize(
    ("place", "piece", "mutation", "fault", "said", "precision", "images"),
    MUTANTS,
    ids=[f"{row[0]}: {row[1]}, {row[3]}" for row in MUTANTS],
)
def test_a_blind_comparison_would_be_noticed(
    place: str,
    piece: str,
    mutation: str,
    fault: str,
    said: str,
    precision: str,
    images: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def verdict() -> str:
        return played.verdict(getattr(played, fault), precision, images)

    assert said in verdict()

    function = found(place)
    monkeypatch.setattr(function, "__code__", mutated(function, piece, mutation).__code__)

    assert said not in verdict()


@pytest.mark.parametrize(("precision", "images"), SETTINGS.values())
def test_nothing_is_said_where_nothing_is_wrong(precision: str, images: int) -> None:
    assert played.verdict(played.none, precision, images) == ""


def found(place: str) -> FunctionType:
    """The function at "module.name" or "module.Class.name" of maskrt.runtime.parity."""
    module, *names = place.split(".")
    at = importlib.import_module(f"maskrt.runtime.parity.{module}")
    for name in names:
        at = inspect.getattr_static(at, name)
    return _function(at)


def mutated(function: FunctionType, piece: str, mutation: str) -> FunctionType:
    """The function with a piece of its source replaced: its code serves wherever the function is known."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(piece) == 1, f"{piece!r} is {source.count(piece)} times in {function.__qualname__}"
    space = dict(function.__globals__)
    exec(compile(source.replace(piece, mutation), function.__qualname__, "exec"), space)
    return _function(space[function.__name__])


def _function(at: object) -> FunctionType:
    function = at.fget if isinstance(at, property) else at
    assert isinstance(function, FunctionType)
    return function
