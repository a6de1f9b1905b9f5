"""What a model loses is judged over images: three answers, and no one of them by chance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from maskrt.runtime.errors import OptionError
from maskrt.runtime.parity.findings import FEWEST_IMAGES, Finding, of_rows
from maskrt.runtime.parity.inside.stages import StageError
from maskrt.runtime.parity.options import Allowed, Limits
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.resample import REPLICATES, carriers, interval
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.flips import Flips
from maskrt.runtime.tasks.instances.compare.match import Matching, Pair
from maskrt.runtime.tasks.instances.compare.tolerances import INT8
from maskrt.runtime.tasks.instances.task import TASK
from maskrt.runtime.tasks.rows import Row

INSTANCES, IMAGES = 20, 10
NO_FLIPS = Flips()
SCORES = np.full(INSTANCES, 0.9, np.float32)
ALIKE = {"score_difference": 2e-4, "box_difference_px": 0.2, "mask_iou": 0.99, "boundary_px": 0.0}
SWAPPED = {"score_difference": 0.005, "box_difference_px": 40.0, "mask_iou": 0.6, "boundary_px": 9.0}
DRIFTED = SWAPPED | {"score_difference": 0.3}


def pair(row: int, values: dict[str, float]) -> Pair:
    return Pair(row, row, **values, label=0, score=0.9)


def report(*images: Matching, flips: Flips = NO_FLIPS) -> Report:
    found = Report(InstancesComparison(INT8))
    for number, matching in enumerate(images):
        found.results.add_matching(f"{number}.png", matching, SCORES, SCORES, flips)
    return found


def matching(swapped: int = 0, missed: int = 0, values: dict[str, float] = SWAPPED) -> Matching:
    pairs = [pair(i, values if i < swapped else ALIKE) for i in range(INSTANCES - missed)]
    return Matching(tuple(pairs), tuple(range(INSTANCES - missed, INSTANCES)), ())


def scored(report: Report, lost: float, low: float, high: float) -> Report:
    """With a score that falls by so many points."""
    told = {"reference": 0.8, "candidate": 0.8 - lost / 100, "difference": -lost / 100}
    report.scores, report.score_name = {"mask": {**told, "low": -high / 100, "high": -low / 100}}, "mask AP"
    return report


def finding(value: float, low: float, high: float, *, at_least: bool = False) -> Finding:
    return Finding("figure", value, low, high, 0.3, at_least, 14, "it is beyond")


@pytest.mark.parametrize(
    ("values", "at_least", "answer", "beyond"),
    [
        ((0.1, 0.0, 0.3), False, "holds", False),
        ((0.1, 0.0, 0.31), False, "open", False),
        ((0.4, 0.3, 0.5), False, "open", True),
        ((0.4, 0.31, 0.5), False, "loses", True),
        ((0.4, 0.3, 0.5), True, "holds", False),
        ((0.4, 0.29, 0.5), True, "open", False),
        ((0.2, 0.1, 0.3), True, "open", True),
        ((0.2, 0.1, 0.29), True, "loses", True),
        ((float("nan"),) * 3, False, "loses", True),
    ],
)
def test_the_answer_lies_in_the_interval_s_ends(
    values: tuple[float, float, float], at_least: bool, answer: str, beyond: bool
) -> None:
    found = finding(*values, at_least=at_least)

    assert (found.answer, found.beyond) == (answer, beyond)


def test_how_many_images_would_tell_follows_from_the_square_root() -> None:
    assert finding(0.2, -0.2, 0.6).images_wanted == 230, "four times too wide: sixteen times the 14"
    assert finding(0.5, -0.3, 0.9).images_wanted == 230, "the end that is nearest the limit counts"
    assert finding(0.3, 0.1, 0.5).images_wanted is None, "a figure at its limit is never told from it"
    scored = dataclasses.replace(finding(0.1, -0.1, 0.31), carriers=7)
    assert scored.images_wanted == FEWEST_IMAGES, "fewer tell of none that it holds"
    assert dataclasses.replace(scored, low=0.25, value=0.66, high=1.02).images_wanted == 19
    assert "these 14 images cannot tell: it is beyond" in finding(0.5, -0.3, 0.9).doubt
    assert finding(0.5, -0.3, 0.9).doubt.endswith("(95% interval -0.3 to 0.9); about 230 would")


def test_what_one_or_two_images_make_is_not_told_from_nothing() -> None:
    within = dataclasses.replace(finding(0.1, 0.0, 0.2), images=200)

    of_two = dataclasses.replace(within, carriers=1.5)
    assert (of_two.answer, of_two.beyond, of_two.images_wanted) == ("open", False, 400)
    assert of_two.doubt.endswith("(95% interval 0 to 0.2, by one or two of them); about 400 would")
    assert [dataclasses.replace(within, carriers=n).answer for n in (0, 3)] == ["holds", "holds"]
    assert dataclasses.replace(finding(0.4, 0.31, 0.5), carriers=1.5).answer == "loses"


@pytest.mark.parametrize("carriers", [0, 7])
@pytest.mark.parametrize(
    ("images", "answer"), [(1, "open"), (14, "open"), (FEWEST_IMAGES - 1, "open"), (FEWEST_IMAGES, "holds")]
)
def test_what_few_images_score_is_not_told_of_all(images: int, answer: str, carriers: int) -> None:
    """By the rule of three 14 images tell of a loss that 21% of all have, and not of a rarer one."""
    scored = dataclasses.replace(finding(0.1, 0.0, 0.2), images=images, carriers=carriers)

    assert (scored.answer, scored.beyond) == (answer, False)
    assert dataclasses.replace(scored, low=0.31, value=0.4, high=0.5).answer == "loses", (
        "what is seen is told"
    )
    if images == 14:
        assert scored.doubt.endswith(
            f"(95% interval 0 to 0.2), and up to 21% of all images may lose more than these show; "
            f"about {FEWEST_IMAGES} would"
        )


@pytest.mark.parametrize("images", [1, 2, 5])
def test_of_images_that_count_alike_so_many_make_a_figure(images: int) -> None:
    lost = np.zeros(1000)
    lost[:images] = 0.4
    without = (lost.sum() - lost) / 999

    assert carriers(without) == pytest.approx(images, rel=0.1)
    assert carriers(np.zeros(10)) == carriers(np.zeros(0)) == 0


def test_an_interval_of_one_image_is_its_figure_and_of_few_ones_is_wider() -> None:
    values = np.linspace(0, 1, REPLICATES)

    assert interval(values[:1], 1) == (0, 0)
    widths = [np.diff(interval(values, images))[0] for images in (3, 14, 1000)]
    assert widths[0] > widths[1] > widths[2] == pytest.approx(0.98, abs=1e-3)


def test_a_few_swapped_pairs_decide_nothing_and_are_counted_apart() -> None:
    found = report(*[matching(swapped=1)] * IMAGES)

    assert (found.failures, found.undecided, found.doubts) == ([], "", [])
    assert found.row("score difference").mean < INT8.score
    assert found.row("mask IoU").mean < INT8.mask_iou + 0.001, "which by their mean would have been near"
    assert found.results.counts["swapped"] == IMAGES


def test_pairs_that_are_elsewhere_in_many_images_are_no_swaps() -> None:
    found = report(*[matching(swapped=4)] * IMAGES)

    assert any("box differs by 40 px in one of ten, allowed 6 px" in failure for failure in found.failures)


def test_what_drifts_is_no_swap() -> None:
    assert report(matching(swapped=1, values=DRIFTED)).results.counts["swapped"] == 0


def test_what_flips_at_a_threshold_is_no_loss_but_may_not_be_the_rule() -> None:
    lost = matching(missed=1)
    flipped = Flips(missed=(INSTANCES - 1,))

    assert any("95.0% of the instances matched" in one for one in report(*[lost] * IMAGES).failures)
    assert report(*[lost] * IMAGES, flips=flipped).failures == []
    two = Flips(missed=(INSTANCES - 2, INSTANCES - 1))
    (failure,) = report(*[matching(missed=2)] * IMAGES, flips=two).failures
    assert failure == "10.0% of the instances come or go at a threshold, at most 5.0% allowed"


def test_losses_in_a_few_images_are_open_and_in_all_of_them_are_not() -> None:
    few = report(*[matching(missed=5)], *[matching()] * (IMAGES - 1))

    assert few.failures == []
    assert few.undecided.startswith(f"these {IMAGES} images cannot tell: 97.5% of the instances matched")
    assert few.to_dict()["passed"] is False
    assert report(*[matching(missed=1)] * IMAGES).failures


@pytest.mark.parametrize(
    ("lost", "low", "high", "failing", "undecided", "doubted"),
    [
        (0.1, 0.0, 0.2, False, False, False),
        (0.1, -0.5, 0.7, False, False, True),
        (0.5, -0.5, 1.5, False, True, True),
        (0.5, 0.4, 0.6, True, False, False),
    ],
)
def test_a_score_has_three_answers(
    lost: float, low: float, high: float, failing: bool, undecided: bool, doubted: bool
) -> None:
    found = scored(report(*[matching()] * FEWEST_IMAGES), lost, low, high)

    assert (bool(found.failures), bool(found.undecided), bool(found.doubts)) == (failing, undecided, doubted)


def test_few_annotated_images_are_warned_of() -> None:
    count = FEWEST_IMAGES - 1
    assert scored(report(*[matching()] * count), 0, 0, 0).doubts == [
        f"judged on {count} annotated images, {FEWEST_IMAGES} are advised: the interval is rough"
    ]


def test_a_stage_in_int8_explains_a_loss_and_is_none_itself() -> None:
    for lost in (False, True):
        found = report(matching(missed=10 * lost))
        found.stages.order = ("C3",)
        error = StageError("C3", snr_db=3, reason="SNR 3 dB")
        found.stages.add("0.png", [error], lambda error: ["why"], judged=lambda stage: False)
        assert bool(found.failures) == lost
        assert any("C3 is the first stage that differs" in failure for failure in found.failures) == lost


def test_any_limit_can_be_chosen_by_its_name() -> None:
    comparison = Allowed(limit=["matched=0.5", "box_px=3"]).comparison(TASK, "int8")

    assert (comparison.limits["matched"], comparison.limits["box_px"]) == (0.5, 3)
    assert comparison.limits["mask_iou"] == INT8.mask_iou


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("matchd=1", "there is no such limit, expected one of score, box_px"),
        ("by_quantiles=0", "there is no such limit"),
        ("matched", "expected NAME=VALUE"),
        ("matched=many", "expected NAME=VALUE"),
        ("matched=nan", "expected NAME=VALUE"),
        ("=1", "expected NAME=VALUE"),
        ("matched=98", "expected a share or an overlap, from 0 to 1"),
        ("mask_iou=97", "expected a share or an overlap, from 0 to 1"),
    ],
)
def test_what_is_no_limit_is_refused(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        Limits(limit=[text]).comparison(TASK, "int8")


def test_a_mean_has_an_interval_over_images_too() -> None:
    values = tuple((float(i % 2),) for i in range(40))
    (found,) = of_rows([Row("share", "", values, 0.9, "mean", at_least=True, says="share")])

    assert (found.value, found.answer) == (0.5, "loses")
    assert 0.28 < found.low < 0.4 < 0.6 < found.high < 0.72, "±2.33·√(0.25/40)"
