"""What parity says of a model with one fault (tests.runtime.played): line by line, and nothing else.

"…" stands for any text within a line. A checker with one of its comparisons blinded misses one of these lines, or says
another: `python -m benchmarks.mutants runtime/parity` tries it.
"""

from __future__ import annotations

import re

import pytest

from tests.runtime import played

FIRST = "is the first stage that differs (0.jpg):"
MISSED, EXTRA = "0.jpg: 1 instances of the reference missed", "0.jpg: 1 instances the reference has not"
MASK = "0.jpg: mask IoU …, at least 0.99 expected"
OTHER_WEIGHTS = "possible: other weights: a stale file, …"

EACH = {
    # The contract.
    "promise": ["its contract says instances.nms_threshold 0.6, the reference's 0.5"],
    "stale": ["a stale file: … made from checkpoint 111111111111, the reference is 000000000000"],
    # The canvas.
    "padded": [f"canvas {FIRST} … padded to 128x96, beyond the reference's 96x96…"],
    "padded_to_the_right": [f"canvas {FIRST} … padded to 96x128, beyond the reference's 96x96…"],
    "padding": [f"canvas {FIRST} SNR 6.9 dB, … the padding is not zero after normalisation"],
    "bgr": [f"canvas {FIRST} SNR -1.6 dB, … the channels are reversed: BGR where RGB is expected"],
    "other_std": [f"canvas {FIRST} SNR 2.2 dB, … another mean or std"],
    # Feature maps.
    "stage": [f"C3 {FIRST} SNR 40.0 dB, at least 80 dB expected. {OTHER_WEIGHTS}"],
    "stage_and_later": [f"C3 {FIRST} SNR 40.0 dB, …"],
    "one_value": [f"C3 {FIRST} largest error 0.00016 of the range, allowed 0.0001. {OTHER_WEIGHTS}"],
    "out_of_nothing": [f"stem {FIRST} SNR -200.0 dB, at least 80 dB expected. {OTHER_WEIGHTS}"],
    "not_finite": [f"C3 {FIRST} 1 values are NaN or infinite. overflow: … largest value here is 3.2; …"],
    "shape": [f"C3 {FIRST} its shape is (4, 8, 4), the reference's (4, 8, 8). {OTHER_WEIGHTS}"],
    # Proposals and pooled RoIs.
    "fewer_proposals": [
        f"proposals {FIRST} 70.0% are on both sides, at least 95% expected. … 14 are kept where it keeps 20; …"
    ],
    "moved_proposals": [
        f"proposals {FIRST} 0.0% are on both sides, … moved by (8.0, 8.0) px (median); possible: anchors off by …"
    ],
    "larger_proposals": [f"proposals {FIRST} 0.0% … boxes of another size, 1.20 times (median); …"],
    "rois": [f"box_features {FIRST} SNR -2.2 dB, … wrong for RoIs of every size; …"],
    "rois_of_p4": [f"box_features {FIRST} … wrong for 5 of 20 RoIs, those that belong to P4; possible: pooled …"],
    "a_roi": [f"box_features {FIRST} … wrong for 1 of 20 RoIs, those that belong to P2; …"],
    "a_mask_roi": [f"mask_features {FIRST} … wrong for 1 of 4 RoIs, those that belong to P2; …"],
    # Detections.
    "lost": [
        f"detections {FIRST} 1 instances of the reference missed, 0 extra. … a score threshold between 0.6 and 0.7…",
        MISSED,
    ],
    "lost_under_another": [f"detections {FIRST} … IoU down to 0.23, … NMS with a lower threshold", MISSED],
    "repeated": [f"detections {FIRST} … IoU up to 1.00, … NMS with a higher threshold", EXTRA],
    "kept_beside_a_better": [f"detections {FIRST} … IoU up to 0.67, … NMS with a higher threshold", EXTRA],
    "reordered": ["0.jpg: the same instances in another order"],
    "score": [
        f"detections {FIRST} score differs by 0.01, allowed 0.0001. …",
        "0.jpg: score differs by 0.01, allowed 0.0001",
    ],
    "box": [
        f"detections {FIRST} box differs by 1 px, allowed 0.01 px. …",
        "0.jpg: box differs by 1 px, allowed 0.01 px",
        MASK,
    ],
    "boxes": [
        f"detections {FIRST} box differs by 2 px, … deltas decoded with other weights, …",
        "0.jpg: box differs by 2 px, allowed 0.01 px",
        MASK,
    ],
    "half_a_box": [f"detections {FIRST} 1 … missed, 1 extra. …", MISSED, EXTRA],
    "box_elsewhere": [f"detections {FIRST} 1 … missed, 1 extra. …", MISSED, EXTRA],
    "two_labels": [
        f"detections {FIRST} 2 … missed, 2 extra. possible: …",
        "0.jpg: 2 instances of the reference missed",
        "0.jpg: 2 instances the reference has not",
    ],
    "labels": [
        f"detections {FIRST} 4 … missed, 4 extra. the same boxes, but labels off by +1: class index",
        "0.jpg: 4 instances of the reference missed",
        "0.jpg: 4 instances the reference has not",
    ],
    # Masks.
    "mask": [f"masks {FIRST} mask IoU 0.5135, … the output masks themselves differ, before any paste: mirrored", MASK],
    "pasted": [f"masks {FIRST} mask IoU 0.9221, … pasted (-1, +0) px off", MASK],
}  # fmt: skip
ON_AVERAGE = {
    "lost": ["75.0% of the instances matched (1 missed, 0 extra), at least 99.0% expected"],
    "scores": ["score differs by 0.02 (median), allowed 0.005"],
    "boxes": [
        "box differs by 2 px (median), allowed 0.5 px",
        "median mask IoU 0.7947, at least 0.98 expected",
        "mask IoU of one in ten below 0.7760, at least 0.92 expected",
    ],
    "masks": [
        "median mask IoU 0.5041, at least 0.98 expected",
        "mask IoU of one in ten below 0.5015, at least 0.92 expected",
    ],
}
OF_THE_TASK = {
    "lost": {"lower box AP", "lower mask AP"},
    "masks": {"lower mask AP"},
    "labels": {"lower box AP", "lower mask AP"},
    "repeated": {"lower box AP", "lower mask AP"},
    "score": set(),
}


def says(verdict: str, lines: list[str]) -> bool:
    """True if a verdict has these lines, "…" for any text, and no other."""
    pattern = "\n".join(".*".join(re.escape(text) for text in line.split("…")) for line in lines)
    return re.fullmatch(pattern, verdict) is not None


@pytest.mark.parametrize("fault", EACH)
def test_a_fault_of_one_image_is_named(fault: str) -> None:
    verdict = played.verdict(getattr(played, fault))

    assert says(verdict, EACH[fault]), verdict


@pytest.mark.parametrize("fault", ON_AVERAGE)
def test_half_precision_is_judged_on_average(fault: str) -> None:
    verdict = played.verdict(getattr(played, fault), "fp16")

    assert says(verdict, ON_AVERAGE[fault]), verdict


@pytest.mark.parametrize("fault", OF_THE_TASK)
def test_average_precision_falls_where_the_task_suffers(fault: str) -> None:
    verdict = played.verdict(getattr(played, fault), images=3)

    assert {line for line in verdict.splitlines() if line.startswith("lower")} == OF_THE_TASK[fault], verdict


@pytest.mark.parametrize(("precision", "images"), [("fp32", 1), ("fp16", 1), ("fp32", 3)])
def test_nothing_is_said_where_nothing_is_wrong(precision: str, images: int) -> None:
    assert played.verdict(played.none, precision, images) == ""
