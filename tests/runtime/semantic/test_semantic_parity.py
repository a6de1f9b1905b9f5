"""Two models' class maps compared: ties are no faults, and each planted fault is named."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.errors import OptionError
from maskrt.runtime.parity.options import Limits
from maskrt.runtime.parity.report import Report
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.answers import Answer
from maskrt.runtime.tasks.semantic.borders import boundary_f
from maskrt.runtime.tasks.semantic.compare.comparison import SemanticComparison
from maskrt.runtime.tasks.semantic.compare.tolerances import FP32, INT8
from maskrt.runtime.tasks.semantic.decode import decode
from tests.runtime.semantic.maps import batch_of, make_contract

HEIGHT, WIDTH = 60, 80
CONTRACT = make_contract()


def scene() -> np.ndarray:
    """(H, W): two discs of classes 1 and 2 on background, one cut by the border."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(labels, (30, 25), 14, 2, -1)
    cv2.circle(labels, (70, 50), 20, 1, -1)
    return labels


def answer(labels: np.ndarray, margins: np.ndarray | None = None) -> Answer:
    outputs = Outputs(semantic=labels[None])
    if margins is not None:
        outputs["margins"] = margins[None].astype(np.float32)
    (found,) = decode(outputs, batch_of(labels), CONTRACT)
    return Answer(CONTRACT, outputs, found)


def compared(
    ours: np.ndarray, theirs: np.ndarray, margins: np.ndarray | None = None, limit: object = FP32
) -> Report:
    results = SemanticComparison(limit)
    seen = results.look(answer(ours, margins), Outputs(semantic=theirs[None]), batch_of(ours), CONTRACT)
    results.add("image", seen)
    results.picture("image", np.zeros((*ours.shape, 3), np.uint8), seen)
    return Report(results)


SURE = np.full((HEIGHT, WIDTH), 5.0)


def test_limits_of_ones_own_replace_those_of_the_precision() -> None:
    """Those of another task are refused, since they would judge nothing."""
    task = task_of(make_contract())
    assert task.compare("int8").tolerance == INT8
    own = Limits(["differing=0.25"]).comparison(task, "int8")
    assert own.tolerance == dataclasses.replace(INT8, differing=0.25)
    with pytest.raises(
        OptionError, match="--limit box_px=3: there is no such limit, expected one of differing,"
    ):
        Limits(["box_px=3"]).comparison(task, "int8")


def test_the_same_map_is_the_same() -> None:
    report = compared(scene(), scene(), SURE)

    assert report.failures == []
    assert report.undecided == ""
    assert report.results.matched == 1
    assert report.results.cases == []


def test_one_sure_pixel_is_a_failure() -> None:
    other = scene()
    other[0, 0] = 1
    report = compared(scene(), other, SURE)

    (failure,) = report.failures
    assert failure.startswith(
        "image: where the reference's best class leads by over 0.0001, class maps differ"
    )
    assert report.results.counts == {"pixels": HEIGHT * WIDTH, "differing_pixels": 1}


def test_a_pixel_between_two_equal_classes_may_be_either() -> None:
    other, margins = scene(), SURE.copy()
    other[0, 0], margins[0, 0] = 1, 5e-5

    report = compared(scene(), other, margins)

    assert report.failures == []
    assert report.row("differing share").mean == pytest.approx(1 / (HEIGHT * WIDTH))
    assert report.row("surely differing share").mean == 0


def test_many_ties_are_more_than_rounding_explains() -> None:
    other = scene()
    other[:5] = 1

    assert (
        "class maps differ, as a share of the pixels, by 0.083"
        in compared(scene(), other, SURE * 0).failures[0]
    )


def test_without_margins_all_that_differs_is_judged_alike() -> None:
    other = scene()
    other[0, 0] = 1

    assert compared(scene(), other).failures == []
    assert compared(scene(), other).row("surely differing share").there == []


def test_eight_bits_are_judged_by_means() -> None:
    other = scene()
    other[:3] = 1  # 5% of the pixels
    assert compared(scene(), scene(), SURE, INT8).failures == []

    failures = compared(scene(), other, SURE, INT8).failures

    assert "leads by over 1, class maps differ, as a share of the pixels, by 0.05 on average" in failures[0]


def test_maps_of_one_class_prove_nothing() -> None:
    blank = np.zeros((HEIGHT, WIDTH), np.uint8)

    assert "both models give all of an image one class" in compared(blank, blank, SURE).undecided


def test_the_worst_images_are_shown_and_listed() -> None:
    report = compared(scene(), np.roll(scene(), 3, axis=1), SURE)

    (case,) = report.results.cases
    assert case.title.startswith("image: ")
    assert case.difference.startswith("data:image/jpeg")
    detail = report.results.detail
    assert [row[1] for row in detail.rows] == [0, 1, 2]
    assert max(row[detail.sorted_by] for row in detail.rows) > 0.1
    assert report.to_dict()["per_image"][0]["class_ious"]["0"] < 1


def resized_by_interpolation(labels: np.ndarray) -> np.ndarray:
    half = cv2.resize(labels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(half, labels.shape[::-1], interpolation=cv2.INTER_LINEAR)


def aligned_corners(labels: np.ndarray) -> np.ndarray:
    """As scores of stride 8 are when they are enlarged from corner to corner."""
    small = labels[4::8, 4::8]
    rows, columns = (
        np.rint(np.linspace(0, old - 1, new)).astype(int)
        for old, new in zip(small.shape, labels.shape, strict=True)
    )
    return small[rows[:, None], columns]


def in_cells(labels: np.ndarray) -> np.ndarray:
    return np.kron(labels[4::8, 4::8], np.ones((8, 8), np.uint8))[: labels.shape[0], : labels.shape[1]]


PLANTED = {
    "a crop one pixel off": (lambda m: np.roll(m, 1, axis=0), "1 px lower and 0 px further right: a crop"),
    "a crop off to the right": (
        lambda m: np.roll(m, (0, 2), axis=(0, 1)),
        "0 px lower and 2 px further right",
    ),
    "no background": (lambda m: (m + 1).astype(np.uint8) % 4, "labels are 1 higher: a background"),
    "two classes exchanged": (
        lambda m: np.array([0, 2, 1], np.uint8)[m],
        "classes are numbered otherwise (2 for 1, 1 for 2)",
    ),
    "labels interpolated": (resized_by_interpolation, "between two classes lie labels of neither"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_named(fault: str) -> None:
    plant, said = PLANTED[fault]
    results = SemanticComparison(FP32)
    theirs = plant(scene())
    seen = results.look(answer(scene(), SURE), Outputs(semantic=theirs[None]), batch_of(theirs), CONTRACT)

    (error,) = seen.errors
    assert error.reason
    assert said in seen.causes("semantic")[0]


def test_aligned_corners_are_named() -> None:
    coarse = scene()
    ours, theirs = in_cells(coarse)[:56], aligned_corners(coarse)[:56]
    results = SemanticComparison(FP32)
    seen = results.look(answer(ours), Outputs(semantic=theirs[None]), batch_of(ours), CONTRACT)

    assert any("align_corners" in cause for cause in seen.causes("semantic"))


def test_noise_has_no_mark_and_says_what_may_be() -> None:
    random = np.random.default_rng(0)
    other = np.where(random.random((HEIGHT, WIDTH)) < 0.3, random.integers(0, 3, (HEIGHT, WIDTH)), scene())
    results = SemanticComparison(FP32)
    seen = results.look(
        answer(scene()), Outputs(semantic=other.astype(np.uint8)[None]), batch_of(scene()), CONTRACT
    )

    assert seen.causes("semantic")[0].startswith("possible: ")


def test_borders_two_pixels_apart_still_fit() -> None:
    moved = {pixels: boundary_f(scene(), np.roll(scene(), pixels, axis=1)) for pixels in (0, 2, 6)}

    assert moved[0] == 1
    assert moved[2] > 0.9
    assert moved[6] < 0.6
    assert boundary_f(scene() * 0, scene() * 0) == 1
    assert boundary_f(scene() * 0, scene()) == 0


def test_an_answer_comes_back_from_a_bundles_arrays() -> None:
    task, batch = task_of(CONTRACT), batch_of(scene())
    before = answer(scene(), SURE * 1e-4)

    after = task.unpack(task.pack(before), batch, CONTRACT)

    assert np.array_equal(after.outputs["semantic"], before.outputs["semantic"])
    np.testing.assert_allclose(after.outputs["margins"], before.outputs["margins"], rtol=1e-3)
    assert np.array_equal(after.result.labels, scene())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"semantic": None}, "semantic is missing"),
        ({"semantic": np.zeros((1, 3, 4), np.uint8)}, "semantic is uint8"),
        ({"semantic": np.full((1, HEIGHT, WIDTH), 9, np.uint8)}, "semantic goes to 9, of 3 classes"),
        ({"margins": np.full((1, HEIGHT, WIDTH), np.nan)}, "margins holds NaN"),
    ],
)
def test_a_bundle_that_holds_something_else_is_refused(change: dict[str, object], said: str) -> None:
    task = task_of(CONTRACT)
    arrays = {**task.pack(answer(scene(), SURE)), **change}
    arrays = {name: array for name, array in arrays.items() if array is not None}

    with pytest.raises(ValueError, match=said):
        task.unpack(arrays, batch_of(scene()), CONTRACT)


def test_only_the_picture_is_compared_not_what_lies_around_it() -> None:
    canvas = np.full((1, HEIGHT + 4, WIDTH + 4), 1, np.uint8)
    canvas[0, :HEIGHT, :WIDTH] = scene()
    batch = Batch(np.empty(0), np.array([[HEIGHT, WIDTH]], np.float32), ((HEIGHT, WIDTH),))
    results = SemanticComparison(FP32)
    expected = dataclasses.replace(answer(scene()), outputs=Outputs(semantic=canvas))
    around = canvas.copy()
    around[0, HEIGHT:] = 2

    assert results.look(expected, Outputs(semantic=around), batch, CONTRACT).differing == 0
