from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from maskrt.runtime.parity.findings import of_rows
from maskrt.runtime.parity.inside.stage_report import Fault
from maskrt.runtime.parity.inside.stages import StageError
from maskrt.runtime.parity.report import Report, faults
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.flips import Flips
from maskrt.runtime.tasks.instances.compare.match import Matching, Pair
from maskrt.runtime.tasks.instances.compare.tolerances import BY_PRECISION, FP32
from maskrt.runtime.tasks.rows import Row

EXACT = {
    "score_difference": 0.0,
    "box_difference_px": 0.0,
    "mask_iou": 1.0,
    "boundary_px": 0.0,
    "label": 0,
    "score": 0.9,
}
SCORES = np.array([0.9, 0.8, 0.7], np.float32)
AT_THE_LIMIT = {"score_difference": 1e-4, "box_difference_px": 0.01, "mask_iou": 0.99}
BEYOND = {"score_difference": 1.01e-4, "box_difference_px": 0.0101, "mask_iou": 0.9899}
NAMED = {"score_difference": "score differs", "box_difference_px": "box differs", "mask_iou": "mask IoU"}


def matching(bad: dict[str, float] | None = None, row: int = 0, **changes: object) -> Matching:
    pairs = [Pair(reference=i, candidate=i, **EXACT) for i in range(3)]
    pairs[row] = dataclasses.replace(pairs[row], **(bad or {}))
    return dataclasses.replace(Matching(pairs=tuple(pairs), missed=(), extra=()), **changes)


def report(*matchings: Matching) -> Report:
    found = Report(InstancesComparison(FP32))
    for number, one in enumerate(matchings):
        found.results.add_matching(f"{number}.png", one, SCORES, SCORES)
    return found


@pytest.mark.parametrize("field", AT_THE_LIMIT)
def test_the_limit_itself_is_allowed(field: str) -> None:
    assert report(matching({field: AT_THE_LIMIT[field]})).failures == []


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("field", BEYOND)
def test_each_field_has_a_limit_of_its_own(field: str, row: int) -> None:
    (failure,) = report(matching(), matching({field: BEYOND[field]}, row)).failures

    assert failure.startswith(f"1.png: {NAMED[field]}")


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("field", NAMED)
def test_what_is_not_a_number_is_not_within_a_limit(field: str, row: int) -> None:
    found = report(matching({field: math.nan}, row))

    assert [f.split(":")[0] for f in found.failures] == ["0.png"]
    assert NAMED[field] in found.failures[0]
    assert found.to_dict()["passed"] is False


def test_a_missed_instance_fails() -> None:
    pairs = matching().pairs[:2]

    assert report(matching(pairs=pairs, missed=(2,))).failures == [
        "0.png: 1 instances of the reference missed"
    ]


def test_an_extra_instance_fails() -> None:
    pairs = matching().pairs[:2]

    assert report(matching(pairs=pairs, extra=(2,))).failures == ["0.png: 1 instances the reference has not"]


def test_another_order_fails() -> None:
    a, b, c = matching().pairs
    swapped = (dataclasses.replace(a, candidate=1), dataclasses.replace(b, candidate=0), c)

    assert report(matching(pairs=swapped)).failures == ["0.png: the same instances in another order"]


def test_ties_do_not_add_up() -> None:
    """Each nearer to the next than the tolerance, the first and the last not: they may not change places."""
    scores = np.array([0.80016, 0.80008, 0.80000], np.float32)
    backwards = tuple(Pair(reference=2 - i, candidate=i, **EXACT) for i in range(3))

    assert not Matching(backwards, (), ()).same_order(scores, FP32.score)
    assert Matching(backwards[:2], (), ()).same_order(scores, FP32.score)


def test_a_fault_in_each_image_is_named_with_its_image() -> None:
    found = report(
        matching({"mask_iou": 0.5}), matching(), matching({"score_difference": 0.2, "box_difference_px": 3})
    )

    assert found.failures == [
        "0.png: mask IoU 0.5000, at least 0.99 expected",
        "2.png: score differs by 0.2, allowed 0.0001",
        "2.png: box differs by 3 px, allowed 0.01 px",
    ]


def test_nothing_found_at_all_proves_nothing() -> None:
    found = report(Matching((), (), ()), Matching((), (), ()))

    assert found.failures == []
    assert found.undecided.startswith("neither model found anything in 2 images, so no detection could be")
    assert found.to_dict()["passed"] is False


def test_no_image_at_all_proves_nothing() -> None:
    assert report().to_dict()["passed"] is False


def test_an_empty_image_among_others_is_fine() -> None:
    assert report(matching(), Matching((), (), ())).failures == []


@pytest.mark.parametrize(
    "matchings", [(), (matching(),), (Matching((), (), ()),)], ids=["no", "one", "empty"]
)
def test_is_json_with_every_number(matchings: tuple[Matching, ...]) -> None:
    facts = report(*matchings).to_dict()

    text = json.dumps(facts, allow_nan=False)

    assert json.loads(text) == facts
    assert facts["summary"]["images"] == len(facts["per_image"]) == len(matchings)
    assert facts["tolerance"].items() >= {"score": 1e-4, "box_px": 0.01, "mask_iou": 0.99}.items()


def test_is_json_even_of_what_is_not_a_number() -> None:
    facts = report(matching({"score_difference": math.nan})).to_dict()

    json.dumps(facts, allow_nan=False)


def test_sums_up_the_spread() -> None:
    summary = report(matching({"score_difference": 3e-5}), matching({"score_difference": 9e-5}, 2)).to_dict()[
        "summary"
    ]

    assert summary["instances"] == 6
    spread = summary["score_difference"]
    assert {k: spread[k] for k in ("min", "median", "max", "mean")} == pytest.approx(
        {"min": 0, "median": 0, "max": 9e-5, "mean": 2e-5}
    )
    # Of six values the 90th and 99th percentiles lie between the fifth (3e-5) and the last, at 4.5 and 4.95.
    assert (spread["p90"], spread["p99"]) == pytest.approx((6e-5, 8.7e-5))
    assert set(summary["mask_iou"].values()) == {1}


def test_what_lies_at_a_threshold_is_counted_and_is_no_failure() -> None:
    found, pairs = Report(InstancesComparison(FP32)), matching().pairs[:2]

    found.results.add_matching(
        "a.png", Matching(pairs, missed=(2,), extra=()), SCORES, SCORES, Flips(missed=(2,))
    )

    assert found.failures == []
    summary = found.to_dict()["summary"]
    assert (summary["missed"], summary["missed_at_threshold"], summary["extra_at_threshold"]) == (1, 1, 0)


def test_the_first_stage_of_all_images_is_named_first() -> None:
    found = report(matching({"score_difference": 0.2}), matching())
    found.stages.order = ("stem", "C3", "mask_logits")
    for image, stage in (("0.png", "mask_logits"), ("1.png", "C3")):
        faulty = StageError(stage, snr_db=10, reason="SNR 10 dB")
        found.stages.add(
            image, [StageError("stem", snr_db=120), faulty], lambda error: [f"why {error.stage}"]
        )

    assert found.failures[0] == "C3 is the first stage that differs (1.png): SNR 10 dB. why C3"
    assert "0.png: score differs" in found.failures[1]
    per_stage = {stage["stage"]: stage for stage in found.to_dict()["stages"]["per_stage"]}
    assert list(per_stage) == ["stem", "C3", "mask_logits"], "in the order of the computation"
    assert (per_stage["stem"]["images_out_of_tolerance"], per_stage["C3"]["images_out_of_tolerance"]) == (
        0,
        1,
    )


def test_a_part_that_is_wrong_in_any_image_is_wrong() -> None:
    found = report(matching())
    for reason in ("", "SNR 10 dB", ""):
        found.parts.add({"box_head": StageError("class_logits", snr_db=90, reason=reason)})

    assert found.failures == ["box_head is wrong on the reference's own inputs: class_logits: SNR 10 dB"]


def test_fp32_is_held_to_the_issue_s_limits() -> None:
    every_instance = {"above_score": 0.0, "matched": 1.0, "by_quantiles": False, "tail": 4.0, "flipped": 1.0}
    rounding = {"flip_score": 3e-5, "flip_iou": 1e-4, "tied_probability": 5e-4}
    assert dataclasses.asdict(BY_PRECISION["fp32"]) == {
        "score": 1e-4,
        "box_px": 0.01,
        "mask_iou": 0.99,
        "keypoint_px": 0.25,
        **every_instance,
        **rounding,
    }


def test_one_stage_alone_is_called_the_first() -> None:
    found = report(matching())
    found.stages.order = ("box_features", "mask_features")
    found.stages.unseen = [
        Fault(stage, "the file itself", "attribute aligned", (f"why {stage}",))
        for stage in ("mask_features", "box_features")
    ]

    assert found.failures == [
        "box_features is the first stage that differs (the file itself): attribute aligned. why box_features",
        "also at mask_features (the file itself): attribute aligned. why mask_features",
    ]


def test_what_is_judged_on_average_need_not_have_values_image_by_image() -> None:
    share = Row(
        "matched", "", ((1.0, 0.0, 0.0),), 0.5, "mean", at_least=True, says="of the instances matched"
    )

    assert faults([share], ["0.png", "1.png"]) == []
    (finding,) = of_rows([share])
    assert (finding.answer, finding.fault) == (
        "loses",
        "mean of the instances matched 0.3333, at least 0.5 expected",
    )
