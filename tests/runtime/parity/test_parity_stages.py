"""Each comparison by itself, on numbers whose answer is known: what a mutation of it must break."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskrt.models.rcnn.layout import BOX_FEATURES, MASK_FEATURES, PER_PROPOSAL, PROPOSALS
from maskrt.runtime.boxes import same_boxes
from maskrt.runtime.contract import Category, Contract
from maskrt.runtime.parity.inside.samples import Sample, whole_samples
from maskrt.runtime.parity.inside.stages import IDENTICAL_DB, align, compare_stages, measure
from maskrt.runtime.parity.tolerances import STAGES_FP16, STAGES_FP32, StageTolerance
from maskrt.runtime.tasks.instances.compare.boundary import boundary_distance_px
from maskrt.runtime.tasks.instances.compare.flips import flips
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.tolerances import FP32
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.result import Result
from tests.runtime.conftest import make_contract

CONTRACT = make_contract()
ANY = StageTolerance(snr_db=-1e9, relative_error=1e9, proposals=0)
SINE = np.sin(np.arange(1000, dtype=np.float32)).reshape(10, 10, 10)
BOXES = np.array([[10, 10, 50, 50], [60, 10, 90, 40], [5, 60, 45, 95]], np.float32)


def results(boxes: np.ndarray = BOXES, scores: Any = (0.9, 0.8, 0.7), labels: Any = (0, 0, 0)) -> Result:
    crops = tuple(
        MaskCrop(int(y1), int(x1), np.ones((int(y2 - y1), int(x2 - x1)), bool)) for x1, y1, x2, y2 in boxes
    )
    scores, labels = np.array(scores, np.float32), np.array(labels, np.int32)
    return Result(100, 100, boxes.astype(np.float32), scores, labels, (Category(1, "thing"),) * 2, crops)


def stages(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """Those of an image with three proposals that all became detections."""
    random = np.random.default_rng(0)
    sizes = {"map": (4, 8, 8), "rows": (3, 4, 7, 7), "classes": (3, 2)}
    taps = [tap for tap in CONTRACT.inside.taps if tap.kind in sizes]
    made = {tap.name: random.normal(size=sizes[tap.kind]).astype(np.float32) for tap in taps}
    return made | {PROPOSALS: BOXES} | changes


def errors_of(candidate: dict[str, np.ndarray], reference: dict[str, np.ndarray] | None = None) -> dict:
    matching = match(results(), results())
    aligned = align(whole_samples(reference or stages()), candidate, matching, STAGES_FP32, CONTRACT)
    return {error.stage: error for error in compare_stages(aligned, candidate, STAGES_FP32)}


def test_equal_tensors() -> None:
    error = measure("C2", SINE, SINE.copy(), STAGES_FP32)

    assert (error.snr_db, error.cosine, error.max_error, error.reason) == (
        IDENTICAL_DB,
        pytest.approx(1),
        0,
        "",
    )


def test_noise_of_a_hundredth_has_40_db() -> None:
    error = measure("C2", SINE, SINE * np.float32(1.01), ANY)

    assert error.snr_db == pytest.approx(40, abs=0.01)
    assert error.cosine == pytest.approx(1, abs=1e-6)
    assert error.max_error == pytest.approx(0.01, rel=1e-3)
    assert error.mean_error == pytest.approx(0.01 * np.abs(SINE).mean(), rel=1e-3)
    assert error.relative_error == pytest.approx(0.005, rel=1e-3), "of the range, which is 2"


def test_opposite_tensors() -> None:
    error = measure("C2", SINE, -SINE, ANY)

    assert error.cosine == pytest.approx(-1)
    assert error.snr_db == pytest.approx(-6.02, abs=0.01)


def test_a_reference_of_zeros_is_not_met_by_anything_else() -> None:
    zeros = np.zeros_like(SINE)

    assert measure("C2", zeros, SINE, STAGES_FP32).reason
    assert not measure("C2", zeros, zeros, STAGES_FP32).reason


@pytest.mark.parametrize(("scale", "out"), [(1 + 0.9e-4, False), (1 + 1.1e-4, True)])
def test_80_db_are_asked_for(scale: float, out: bool) -> None:
    loose = StageTolerance(snr_db=80, relative_error=1, proposals=1)

    error = measure("C2", SINE.astype(np.float64), SINE.astype(np.float64) * scale, loose)

    assert ("SNR" in error.reason) is out


def test_one_wrong_value_in_a_large_map_is_out() -> None:
    large = np.tile(SINE, (100, 10, 10))
    wrong = large.copy()
    wrong[3, 4, 5] += np.float32(2e-3)

    error = measure("C2", large, wrong, STAGES_FP32)

    assert error.snr_db > STAGES_FP32.snr_db, "which the mean over all does not see"
    assert "largest error 0.001 of the range" in error.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stage", ["C2", PROPOSALS, BOX_FEATURES, MASK_FEATURES])
def test_values_that_are_not_finite_are_counted_wherever_they_are(stage: str, bad: float) -> None:
    broken = stages()[stage].copy()
    broken.reshape(-1)[-2:] = bad

    error = errors_of(stages(**{stage: broken}))[stage]

    assert (error.not_finite, error.reason) == (2, "2 values are NaN or infinite")


@pytest.mark.parametrize(
    "stage", [tap.name for tap in CONTRACT.inside.taps if tap.kind in ("map", "rows", "classes")]
)
def test_every_stage_is_compared(stage: str) -> None:
    errors = errors_of(stages(**{stage: stages()[stage] * np.float32(1.01)}))

    assert [name for name, error in errors.items() if error.reason] == [stage]


def test_another_shape_is_told() -> None:
    error = errors_of(stages(C2=np.zeros((4, 8, 9), np.float32)))["C2"]

    assert error.reason == "its shape is (4, 8, 9), the reference's (4, 8, 8)"


def test_proposals_in_another_order_are_the_same() -> None:
    back = {name: stages()[name][::-1] for name in (PROPOSALS, *PER_PROPOSAL)}

    errors = errors_of(stages(**back))

    assert not any(error.reason for error in errors.values())
    assert errors[BOX_FEATURES].compared == 1


def test_a_missing_proposal_is_told_and_the_others_compared() -> None:
    fewer = {name: stages()[name][:2] for name in (PROPOSALS, *PER_PROPOSAL)}

    errors = errors_of(stages(**fewer))

    assert errors[PROPOSALS].reason == "66.7% are on both sides, at least 95% expected"
    assert errors[BOX_FEATURES].compared == pytest.approx(2 / 3)
    assert not errors[BOX_FEATURES].reason


def test_boxes_are_the_same_within_the_limit_alone() -> None:
    moved = BOXES + np.float32([[0], [0.009], [0.02]])

    ours, theirs = same_boxes(BOXES, moved, 0.01)

    assert (ours.tolist(), theirs.tolist()) == ([0, 1], [0, 1])


@pytest.mark.parametrize("stage", ["P2", PROPOSALS, BOX_FEATURES])
def test_a_sample_pairs_the_values_that_the_whole_would(stage: str) -> None:
    random = np.random.default_rng(1)
    shape = (200, 4) if stage == PROPOSALS else (200, 8, 7, 7)
    ours = random.normal(size=shape).astype(np.float32)
    theirs = np.concatenate([ours[:50], ours[100:]])  # rows 50 to 99 are not on the other side
    rows = (np.r_[0:50, 100:200], np.arange(150)) if stage != "P2" else (np.zeros(1, int),) * 2
    theirs = ours if stage == "P2" else theirs

    kind = CONTRACT.inside.tap(stage).kind
    sample = Sample.drawn(kind, ours)
    reference, candidate, _ = sample.pair(kind, theirs, *rows)

    assert reference.size >= 1000 or stage == PROPOSALS
    np.testing.assert_array_equal(reference, candidate)


def test_a_square_grown_by_three_pixels_on_one_side() -> None:
    small = MaskCrop(10, 10, np.ones((20, 20), bool))
    grown = MaskCrop(10, 10, np.ones((20, 23), bool))

    assert boundary_distance_px(small, grown) == boundary_distance_px(grown, small) == 3
    assert boundary_distance_px(small, small) == 0
    assert boundary_distance_px(small, MaskCrop(0, 0, np.zeros((0, 0), bool))) == np.inf


def flipped(ours: Result, theirs: Result, contract: Contract) -> tuple[int, int]:
    found = flips(ours, theirs, match(ours, theirs), contract, FP32)
    return len(found.missed), len(found.extra)


@pytest.mark.parametrize(("score", "flips_expected"), [(0.050019, 1), (0.05005, 0)])
def test_a_flip_at_the_score_threshold(score: float, flips_expected: int, contract_with: Any) -> None:
    contract = contract_with(max_detections=100)
    ours, theirs = results(scores=(0.9, 0.8, score)), results(BOXES[:2], (0.9, 0.8), (0, 0))

    assert flipped(ours, theirs, contract) == (flips_expected, 0)
    assert flipped(theirs, ours, contract) == (0, flips_expected)


@pytest.mark.parametrize(("score", "flips_expected"), [(0.700019, 1), (0.70005, 0)])
def test_a_flip_at_the_last_row(score: float, flips_expected: int, contract_with: Any) -> None:
    """Three rows are full on both sides; the last is another instance."""
    other = np.concatenate([BOXES[:2], [[50, 50, 99, 99]]])
    ours, theirs = results(scores=(0.9, 0.8, score)), results(other)

    assert flipped(ours, theirs, contract_with(max_detections=3))[0] == flips_expected


@pytest.mark.parametrize(("width", "flips_expected"), [(80.01, 1), (80.1, 0)])
def test_a_flip_at_nms(width: float, flips_expected: int, contract_with: Any) -> None:
    """The second box overlaps the first by an IoU of 0.5 or nearly: one side's NMS kept it, the other's not."""
    pair = np.array([[0, 0, 40, 40], [0, 0, 40, width]], np.float32)
    ours, theirs = results(pair, (0.9, 0.8), (0, 0)), results(pair[:1], (0.9,), (0,))

    assert flipped(ours, theirs, contract_with(max_detections=100))[0] == flips_expected


def test_a_flip_needs_the_same_class(contract_with: Any) -> None:
    pair = np.array([[0, 0, 40, 40], [0, 0, 40, 80]], np.float32)
    ours, theirs = results(pair, (0.9, 0.8), (0, 1)), results(pair[:1], (0.9,), (0,))

    assert flipped(ours, theirs, contract_with(max_detections=100)) == (0, 0)


def test_in_half_a_proposal_half_a_pixel_off_is_the_same_but_is_not_pooled_alike() -> None:
    moved = stages(**{PROPOSALS: BOXES + np.float32([[0.0], [0.5], [1.5]])})

    aligned = align(whole_samples(stages()), moved, match(results(), results()), STAGES_FP16, CONTRACT)

    assert aligned[PROPOSALS].compared == pytest.approx(2 / 3)
    assert aligned[BOX_FEATURES].rows.tolist() == [0]
