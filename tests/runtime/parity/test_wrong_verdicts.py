"""How often a verdict over some images is wrong of all of them, where the limit is just beside the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maskrt.runtime.parity.findings import FEWEST_IMAGES, Finding
from maskrt.runtime.parity.resample import carriers, draws, interval, left_out
from maskrt.runtime.tasks.instances.measure import coco
from maskrt.runtime.tasks.instances.measure.resampled import score_over_draws


def annotations(images: int) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """COCO's truth of drawn objects, and two models' results; images are not equally hard."""
    random = np.random.default_rng(5)
    truth: list[dict[str, Any]] = []
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    for image in range(images):
        hard = random.gamma(2, 1.5)
        for _ in range(random.integers(1, 6)):
            box = np.array([*random.uniform(0, 300, 2), *random.uniform(20, 90, 2)])
            label, score = int(random.integers(1, 3)), float(random.beta(6, 1.5))
            about = {"image_id": image, "category_id": label}
            area = float(box[2] * box[3])
            truth.append({**about, "id": len(truth) + 1, "bbox": list(box), "area": area, "iscrowd": 0})
            for side, apart_px in (
                (ours, 1.2 * hard),
                (theirs, 0.5 * hard),
            ):  # theirs is further off than ours
                box = box + random.normal(0, apart_px, 4)
                side.append({**about, "bbox": list(np.maximum(box, 1)), "score": score})
    pictures = [{"id": i, "file_name": f"{i}.jpg", "height": 400, "width": 400} for i in range(images)]
    names = [{"id": label, "name": str(label)} for label in (1, 2)]
    return {"images": pictures, "annotations": truth, "categories": names}, ours, theirs


def test_a_draw_scores_what_coco_scores_of_its_images_repeated() -> None:
    truth, rows, _ = annotations(12)
    score = score_over_draws(coco.coco_truth(truth), rows, "box")
    drawn = np.array([3, 3, 3, 7, 1, 0, 11, 7])

    repeated: list[list[dict[str, Any]]] = [[], [], []]
    for place, image in enumerate(drawn):
        repeated[0].append({**truth["images"][image], "id": place})
        for kept, known in ((repeated[1], truth["annotations"]), (repeated[2], rows)):
            kept += [{**one, "image_id": place} for one in known if one["image_id"] == image]
    objects = [{**one, "id": number + 1} for number, one in enumerate(repeated[1])]
    expected = coco.coco_metrics(
        {**truth, "images": repeated[0], "annotations": objects}, repeated[2], ["box"]
    )

    assert score(drawn) == pytest.approx(expected["box_ap"], abs=1e-9)


def wrong_answers(score: Callable[[NDArray[np.intp]], float], images: int, split: int) -> tuple[int, int]:
    """Of a hundred splits: how often the interval lies below, and above, what all images say. Those are wrong
    verdicts where the limit is just beside it, on the other side, which is where it is hardest."""
    truth, below, above = score(np.arange(images)), 0, 0
    for seed in range(100):
        chosen = np.random.default_rng(seed).choice(images, split, replace=False)
        drawn, without = (
            np.array([score(chosen[places]) for places in sets]) for sets in (draws(split), left_out(split))
        )
        low, high = interval(drawn, split, score(chosen), without)
        below, above = below + (high < truth), above + (low > truth)
    return below, above


@pytest.mark.parametrize("split", [40, 100])
def test_of_a_hundred_splits_the_verdict_is_wrong_in_at_most_five(split: int) -> None:
    """A score as that of label maps: what both sides agree on, over what either says, summed over the images."""
    random = np.random.default_rng(1)
    sizes = random.gamma(2, 100, 2000)
    ours = sizes * random.beta(8, 2, 2000)
    theirs = ours * (1 - random.beta(1, 12, 2000))

    below, above = wrong_answers(
        lambda images: float((ours - theirs)[images].sum() / sizes[images].sum()), 2000, split
    )
    assert below <= 5
    assert above <= 5


def passed(lost: NDArray[np.float64], sizes: NDArray[np.float64], split: int) -> int:
    """Of a hundred splits: how often no loss is told where the limit is just below what all images lose."""
    truth, wrong = lost.sum() / sizes.sum(), 0
    for seed in range(100):
        chosen = np.random.default_rng(seed).choice(len(sizes), split, replace=False)
        drawn, without = (
            np.array([lost[chosen[places]].sum() / sizes[chosen[places]].sum() for places in sets])
            for sets in (draws(split), left_out(split))
        )
        value = lost[chosen].sum() / sizes[chosen].sum()
        low, high = interval(drawn, split, value, without)
        found = Finding("lost", value, low, high, 0.999 * truth, False, split, "", carriers(without))
        wrong += found.answer == "holds"
    return wrong


@pytest.mark.parametrize("split", [14, FEWEST_IMAGES])
@pytest.mark.parametrize("others", [0, 0.005], ids=["others nothing", "others a little, either way"])
@pytest.mark.parametrize("share", [0.15, 0.05])
def test_rare_large_losses_are_passed_in_at_most_five_of_a_hundred_splits(
    share: float, others: float, split: int
) -> None:
    """Few images lose much. Most splits of 14 show none of them, where 5% lose."""
    random = np.random.default_rng(1)
    sizes = random.gamma(2, 100, 2000)
    lost = sizes * (random.random(2000) < share) * random.beta(2, 4, 2000)
    lost += sizes * others * random.normal(0, 1, 2000)

    assert passed(lost, sizes, split) <= 5


@pytest.mark.full
def test_so_is_that_of_average_precision() -> None:
    truth, *rows = annotations(400)
    ours, theirs = (score_over_draws(coco.coco_truth(truth), side, "box") for side in rows)
    assert ours(np.arange(400)) - theirs(np.arange(400)) > 0.02

    below, above = wrong_answers(lambda images: ours(images) - theirs(images), 400, 20)
    assert below <= 5
    assert above <= 5
