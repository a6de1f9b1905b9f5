"""The paste is torchvision's: both decide the same pixels, box by box."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskrt.runtime.backends.open import Outputs
from maskrt.runtime.contract import Contract, Keypoints
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.instances.decode import postprocess
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.paste import paste_mask
from maskrt.runtime.tasks.keep import Keep

HEIGHT, WIDTH, SIDE = 60, 80, 28
THRESHOLD = 0.5
# OpenCV and torch sum four products of float32 in another order, and OpenCV rounds the source coordinate
# once more: probabilities differ in the sixth digit. Only a pixel that near the threshold may be decided
# otherwise.
PROBABILITY_ERROR = 1e-5
# With smooth random masks so few pixels lie that near; a shift by half a pixel moves 10% of them.
AGREEMENT = 0.999

Make = Callable[..., Contract]
along_x, along_y = st.floats(-30, WIDTH + 30, width=32), st.floats(-30, HEIGHT + 30, width=32)


def probabilities(seed: int, side: int = SIDE) -> np.ndarray:
    """(side, side) in 0–1: random, smooth over a few cells as a network's masks are."""
    coarse = torch.from_numpy(np.random.default_rng(seed).normal(0, 4, (1, 1, 6, 6)).astype(np.float32))
    fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    return torch.sigmoid(fine)[0, 0].numpy()


def theirs(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    pasted = paste_masks_in_image(
        torch.from_numpy(mask)[None, None], torch.from_numpy(box)[None], (HEIGHT, WIDTH)
    )
    return pasted[0, 0].numpy()


def whole(crop: MaskCrop) -> np.ndarray:
    full = np.zeros((HEIGHT, WIDTH), bool)
    h, w = crop.bits.shape
    full[crop.top : crop.top + h, crop.left : crop.left + w] = crop.bits
    return full


def touches_the_image(box: np.ndarray) -> bool:
    return bool((box[:2] < [WIDTH, HEIGHT]).all() and (box[2:] > 0).all())


@given(x=st.tuples(along_x, along_x), y=st.tuples(along_y, along_y), seed=st.integers(0, 99))
@example(x=(10.0, 40.0), y=(10.0, 30.0), seed=0)
@example(x=(-20.5, 95.25), y=(-9.75, 88.0), seed=1)  # over all four borders
@example(x=(12.25, 12.5), y=(7.5, 7.625), seed=2)  # within one pixel
@example(x=(0.0, float(WIDTH)), y=(0.0, float(HEIGHT)), seed=3)
@example(x=(79.5, 80.0), y=(59.5, 60.0), seed=4)  # the last pixel
@settings(max_examples=200)
def test_decides_pixels_as_torchvision(x: tuple[float, float], y: tuple[float, float], seed: int) -> None:
    box = np.array([min(x), min(y), max(x), max(y)], np.float32)
    assume(touches_the_image(box))
    mask = probabilities(seed)

    ours = whole(paste_mask(mask, box, HEIGHT, WIDTH, THRESHOLD))

    pasted = theirs(mask, box)
    differing = ours != (pasted > THRESHOLD)
    assert np.abs(pasted[differing] - THRESHOLD).max(initial=0) <= PROBABILITY_ERROR


@pytest.mark.parametrize("side", [14, 28, 56])
def test_agrees_in_nearly_all_pixels_of_many_masks(side: int) -> None:
    random = np.random.default_rng(side)
    agreeing = either = 0
    for seed in range(100):
        corners = random.uniform((-20, -20), (WIDTH + 20, HEIGHT + 20), (2, 2)).astype(np.float32)
        box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
        if touches_the_image(box):
            mask = probabilities(seed, side)
            ours, reference = whole(paste_mask(mask, box, HEIGHT, WIDTH, THRESHOLD)), theirs(mask, box) > 0.5
            agreeing += np.count_nonzero(ours & reference)
            either += np.count_nonzero(ours | reference)

    assert either > 10_000
    assert agreeing / either >= AGREEMENT


@given(x=st.tuples(along_x, along_x), y=st.tuples(along_y, along_y))
def test_the_crop_lies_inside_the_image(x: tuple[float, float], y: tuple[float, float]) -> None:
    box = np.array([min(x), min(y), max(x), max(y)], np.float32)

    crop = paste_mask(np.ones((SIDE, SIDE), np.float32), box, HEIGHT, WIDTH, THRESHOLD)

    assert crop.bits.dtype == bool
    if crop.bits.size:
        assert crop.top >= 0
        assert crop.left >= 0
        assert crop.top + crop.bits.shape[0] <= HEIGHT
        assert crop.left + crop.bits.shape[1] <= WIDTH
    if crop.bits.any():
        assert touches_the_image(box + np.array([-1, -1, 1, 1], np.float32) * 4)


def test_a_pixel_at_the_threshold_is_background() -> None:
    box = np.array([10, 10, 40, 40], np.float32)

    assert not paste_mask(
        np.full((SIDE, SIDE), THRESHOLD, np.float32), box, HEIGHT, WIDTH, THRESHOLD
    ).bits.any()


def outputs(count: int, boxes: np.ndarray, scores: np.ndarray, masks: np.ndarray) -> Outputs:
    labels = np.array([[2, 1, 0, 0]], np.int32)
    return Outputs(
        num_detections=np.array([count], np.int32),
        boxes=boxes[None],
        scores=scores[None],
        labels=labels,
        masks=masks[None],
    )


def test_results_are_in_pixels_of_the_original(contract_with: Make) -> None:
    boxes = np.array([[8, 4, 40, 36], [0, 0, 64, 48], [1, 1, 2, 2], [0, 0, 0, 0]], np.float32)
    scores = np.array([0.9, 0.4, 0.2, 0], np.float32)
    batch = Batch(np.zeros((1, 64, 64, 3), np.uint8), np.array([[48, 64]], np.float32), ((96, 192),))

    (result,) = postprocess(
        outputs(2, boxes, scores, np.ones((4, 8, 8), np.float32)), batch, contract_with(), keep=Keep(0.3)
    )

    assert (result.height_px, result.width_px) == (96, 192)
    np.testing.assert_array_equal(result.boxes, [[24, 8, 120, 72], [0, 0, 192, 96]])
    np.testing.assert_array_equal(result.scores, scores[:2])
    assert result.names == ["car", "toothbrush"]
    expected = np.zeros((96, 192), bool)
    expected[8:72, 24:120] = True
    differing = np.count_nonzero(result.masks[0] != expected)
    assert differing <= 2 * (96 + 64), "more than the one pixel of border that the paste may add"


def test_the_lowest_score_itself_is_dropped(contract_with: Make) -> None:
    boxes, scores = np.full((4, 4), 9, np.float32), np.array([0.75, 0.5, 0.25, 0], np.float32)
    batch = Batch(np.zeros((1, 64, 64, 3), np.uint8), np.array([[48, 64]], np.float32), ((96, 192),))
    found = outputs(3, boxes, scores, np.ones((4, 8, 8), np.float32))

    assert [len(postprocess(found, batch, contract_with(), keep=Keep(s))[0]) for s in (0, 0.5, 0.75)] == [
        3,
        1,
        0,
    ]


def test_rows_past_the_count_are_no_detections(contract_with: Make) -> None:
    boxes, scores = np.full((4, 4), 9, np.float32), np.full(4, 0.9, np.float32)
    batch = Batch(np.zeros((1, 64, 64, 3), np.uint8), np.array([[48, 64]], np.float32), ((96, 192),))

    (result,) = postprocess(outputs(0, boxes, scores, np.ones((4, 8, 8), np.float32)), batch, contract_with())

    assert len(result) == 0
    assert result.boxes.shape == (0, 4)
    assert result.masks.shape == (0, 96, 192)
    assert result.to_coco(1) == []


def test_points_are_scaled_by_axis(contract_with: Make) -> None:
    contract = contract_with(masks=None, keypoints=Keypoints(("nose", "hand"), ()))
    points = np.array([[[8, 4, 2], [40, 36, -1]]], np.float32)[None]
    found = {"boxes": np.array([[[8, 4, 40, 36]]], np.float32), "keypoints": points}
    scores, labels = np.array([[0.9]], np.float32), np.zeros((1, 1), np.int32)
    batch = Batch(np.zeros((1, 48, 64, 3), np.uint8), np.array([[48, 64]], np.float32), ((96, 192),))

    (result,) = postprocess(
        Outputs(num_detections=np.array([1], np.int32), scores=scores, labels=labels, **found),
        batch,
        contract,
    )

    assert result.keypoints is not None
    np.testing.assert_array_equal(result.keypoints, [[[24, 8, 2], [120, 72, -1]]])
