"""A box that differs by rounding is pasted where the reference's is; one that differs by more, where it says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from maskrt.runtime.backends.open import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.paste import paste_alike, resolve_ties
from tests.runtime.conftest import make_contract

Make = Callable[..., Contract]
SIDE = 28
# Grown by a cell a side for the paste this box begins at x = 10: a little less and it begins at 9.
ON_A_PIXEL = np.array([11.0, 20.0, 39.0, 90.0], np.float32)
WITHIN_PX = 0.01


def outputs(box: np.ndarray, label: int = 0) -> Outputs:
    """One thin striped object, whose mask a shift by a pixel turns into its opposite."""
    stripes = np.zeros((SIDE, SIDE), np.float32)
    stripes[:, ::2] = 1
    return Outputs(
        num_detections=np.array([1], np.int32),
        boxes=box[None, None].copy(),
        scores=np.array([[0.9]], np.float32),
        labels=np.array([[label]], np.int32),
        masks=stripes[None, None],
    )


def compared(candidate: Outputs, contract: Contract):
    batch = Batch(np.zeros((1, 128, 128, 3), np.uint8), np.array([[128, 128]], np.float32), ((128, 128),))
    (expected,), (actual,) = paste_alike(outputs(ON_A_PIXEL), candidate, batch, contract, within_px=WITHIN_PX)
    return match(expected, actual)


def test_rounding_in_a_box_leaves_the_mask_in_place(contract_with: Make) -> None:
    nearly = ON_A_PIXEL - np.float32(1e-5)

    (pair,) = compared(outputs(nearly), contract_with()).pairs

    assert pair.mask_iou == 1
    assert pair.box_difference_px == pytest.approx(1e-5, rel=0.2), "the box is still judged as it is"


def test_a_box_that_is_elsewhere_takes_its_mask_along(contract_with: Make) -> None:
    (pair,) = compared(outputs(ON_A_PIXEL - np.float32(2 * WITHIN_PX)), contract_with()).pairs

    assert pair.mask_iou < 0.5


def test_a_box_of_another_class_is_not_taken(contract_with: Make) -> None:
    found = compared(outputs(ON_A_PIXEL, label=1), contract_with())

    assert (found.pairs, found.missed, found.extra) == ((), (0,), (0,))


def test_nothing_on_either_side_is_no_pair(contract_with: Make) -> None:
    nothing = Outputs(outputs(ON_A_PIXEL) | {"num_detections": np.array([0], np.int32)})
    found = compared(nothing, contract_with())

    assert (found.pairs, found.missed, found.extra) == ((), (0,), ())


def resolved(reference_pixels: float, candidate_pixels: float, margin: float) -> float:
    """The IoU of two masks that are surely object but for their last column, of these probabilities."""
    batch = Batch(np.zeros((1, 128, 128, 3), np.uint8), np.array([[128, 128]], np.float32), ((128, 128),))
    contract, both = make_contract(), []
    for probability in (reference_pixels, candidate_pixels):
        one = outputs(ON_A_PIXEL)
        one["masks"][:] = 1
        one["masks"][..., -8:] = probability
        both.append(one)
    (ours,), (theirs,) = paste_alike(*both, batch, contract, within_px=WITHIN_PX)
    masks = both[0]["masks"][0], both[1]["masks"][0]
    theirs = resolve_ties(ours, theirs, masks, 0.5, within_px=WITHIN_PX, margin=margin)
    (pair,) = match(ours, theirs).pairs
    return pair.mask_iou


def test_pixels_that_rounding_decides_are_no_difference() -> None:
    """torchvision's random weights give masks of 0 and 1, and between two cells half of them is exact."""
    assert resolved(0.5 + 1e-6, 0.5 - 1e-6, margin=0.0) < 0.9, "which was called a fault of the paste"
    assert resolved(0.5 + 1e-6, 0.5 - 1e-6, margin=5e-4) == 1
    assert resolved(0.5 - 1e-6, 0.5 + 1e-6, margin=5e-4) == 1


def test_pixels_further_from_the_threshold_are() -> None:
    assert resolved(0.501, 0.499, margin=5e-4) < 0.9
    assert resolved(0.49, 0.51, margin=5e-4) < 0.9


def test_a_mask_that_is_unsure_where_the_reference_is_sure_is_another() -> None:
    """A mask head of zeros gives 0.5 everywhere: no pixel of it is decided, and none is right."""
    assert resolved(1.0, 0.5, margin=5e-4) < 0.9
