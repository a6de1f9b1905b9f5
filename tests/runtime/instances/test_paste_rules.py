"""Masks pasted by the rules of Detectron2, MMDetection and Matterport: the same pixels as their functions decide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.functional import grid_sample

from maskrt.models.rcnn.reference.paste import pasted
from maskrt.runtime.backends.open import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.resize.skimages import by_skimage_in_float
from maskrt.runtime.tasks.instances.decode import postprocess
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.options import PASTES, BoxGrid
from maskrt.runtime.tasks.instances.paste import boxes_to_image, paste_mask
from maskrt.runtime.tasks.instances.result import Result
from maskrt.runtime.tasks.instances.rle import encode_crop
from tests.runtime.instances.test_paste_mask import HEIGHT, PROBABILITY_ERROR, WIDTH, probabilities

SIDE, THRESHOLD = 28, 0.5
Make = Callable[..., Contract]
along_x, along_y = st.floats(-30, WIDTH + 30, width=32), st.floats(-30, HEIGHT + 30, width=32)
corners = st.tuples(along_x, along_x, along_y, along_y)


def box_of(x1: float, x2: float, y1: float, y2: float) -> np.ndarray:
    """x1 y1 x2 y2, inside the image, as boxes are clipped."""
    edges = np.array([min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)], np.float32)
    return edges.clip(0, np.array([WIDTH, HEIGHT] * 2, np.float32))


def one_result(box: np.ndarray) -> Result:
    scores, labels = np.ones(1, np.float32), np.zeros(1, np.int32)
    return Result(HEIGHT, WIDTH, box[None], scores, labels, classes=(), crops=None)


def detectron2_s(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(H, W) probabilities, as `_do_paste_mask` of its layers/mask_ops.py has them on a CPU."""
    x0, y0, x1, y1 = torch.from_numpy(box)
    left, top = (int(torch.clamp(edge.floor() - 1, min=0)) for edge in (x0, y0))
    right, bottom = (int(torch.clamp(e.ceil() + 1, max=most)) for e, most in ((x1, WIDTH), (y1, HEIGHT)))
    x = (torch.arange(left, right, dtype=torch.float32) + 0.5 - x0) / (x1 - x0) * 2 - 1
    y = (torch.arange(top, bottom, dtype=torch.float32) + 0.5 - y0) / (y1 - y0) * 2 - 1
    grid = torch.stack([x[None].expand(len(y), -1), y[:, None].expand(-1, len(x))], dim=2)
    full = np.zeros((HEIGHT, WIDTH), np.float32)
    sampled = grid_sample(torch.from_numpy(mask)[None, None], grid[None], align_corners=False)
    full[top:bottom, left:right] = sampled[0, 0].numpy()
    return full


def matterport_s(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(H, W) probabilities, as its `unmold_mask` thresholds them."""
    x1, y1, x2, y2 = np.around(box).astype(int)
    full = np.zeros((HEIGHT, WIDTH))
    if x2 > x1 and y2 > y1:
        full[y1:y2, x1:x2] = by_skimage_in_float(mask, (y2 - y1, x2 - x1))
    return full


ORIGINALS = {"pixel_middles": detectron2_s, "matterport": matterport_s}


@pytest.mark.parametrize("rule", ORIGINALS)
@given(edges=corners, seed=st.integers(0, 99))
@example(edges=(10.0, 40.0, 10.0, 30.0), seed=0)
@example(edges=(10.5, 11.5, 10.5, 50.5), seed=0)  # ties of rounding
@example(edges=(0.0, WIDTH, 0.0, HEIGHT), seed=1)
@settings(max_examples=120)
def test_decides_every_pixel_as_the_original_does(
    rule: str, edges: tuple[float, float, float, float], seed: int
) -> None:
    box, mask = box_of(*edges), probabilities(seed, SIDE)
    if (box[2:] - box[:2]).min() <= 1e-3:
        return

    ours = paste_mask(mask, box, HEIGHT, WIDTH, THRESHOLD, rule).pasted(HEIGHT, WIDTH)

    theirs = ORIGINALS[rule](mask, box)
    undecided = np.abs(theirs - THRESHOLD) <= PROBABILITY_ERROR
    np.testing.assert_array_equal(ours & ~undecided, (theirs >= THRESHOLD) & ~undecided)


@pytest.mark.parametrize("rule", ORIGINALS)
def test_a_mask_that_is_sure_everywhere_fills_its_box(rule: str) -> None:
    mask = np.full((SIDE, SIDE), 0.9, np.float32)

    ours = paste_mask(mask, np.array([10, 10, 30, 20], np.float32), HEIGHT, WIDTH, THRESHOLD, rule)

    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[10:20, 10:30] = True
    if rule == "matterport":
        np.testing.assert_array_equal(ours.pasted(HEIGHT, WIDTH), expected)
    else:  # a pixel at a corner is nearer to two edges than half a cell
        assert np.count_nonzero(ours.pasted(HEIGHT, WIDTH) != expected) <= 4


@pytest.mark.parametrize("rule", PASTES)
def test_whose_the_threshold_itself_is(rule: str) -> None:
    """The object's by the rules of Detectron2 and Matterport; not by those of torchvision."""
    mask, box = np.full((SIDE, SIDE), THRESHOLD, np.float32), np.array([10, 10, 40, 40], np.float32)

    ours = paste_mask(mask, box, HEIGHT, WIDTH, THRESHOLD, rule)
    (theirs,) = pasted(one_result(box), mask[None], BoxGrid(SIDE, THRESHOLD, rule))

    assert {bool(ours.bits.any()), bool(theirs.bits.any())} == {rule in ORIGINALS}


@pytest.mark.parametrize("rule", PASTES)
@pytest.mark.parametrize("box", [(20, 20, 20, 30), (20.2, 20.2, 20.3, 20.3), (0, 0, 0, 0), (80, 60, 80, 60)])
def test_a_box_of_no_area_takes_no_memory(rule: str, box: tuple[float, ...]) -> None:
    crop = paste_mask(np.ones((SIDE, SIDE), np.float32), np.array(box, np.float32), HEIGHT, WIDTH, 0.5, rule)

    assert crop.area_px <= 22
    encode_crop(crop.bits, crop.top, crop.left, HEIGHT, WIDTH)


@pytest.mark.parametrize("rule", PASTES)
@given(edges=corners, seed=st.integers(0, 9))
@settings(max_examples=60)
def test_the_reference_pastes_the_same_by_code_of_its_own(
    rule: str, edges: tuple[float, float, float, float], seed: int
) -> None:
    box, mask = box_of(*edges), probabilities(seed, SIDE)

    (crop,) = pasted(one_result(box), mask[None], BoxGrid(SIDE, THRESHOLD, rule))

    ours: MaskCrop = paste_mask(mask, box, HEIGHT, WIDTH, THRESHOLD, rule)
    surely, at_all = (
        paste_mask(mask, box, HEIGHT, WIDTH, THRESHOLD + side, rule).pasted(HEIGHT, WIDTH)
        for side in (PROBABILITY_ERROR, -PROBABILITY_ERROR)
    )
    differing = ours.pasted(HEIGHT, WIDTH) != crop.pasted(HEIGHT, WIDTH)
    assert not (differing & (surely | ~at_all)).any()


def test_matterport_s_boxes_have_the_picture_s_first_and_last_pixel() -> None:
    """norm_boxes and denorm_boxes of its mrcnn/utils.py, before the rounding."""
    canvas, image = np.array([48, 64], np.float32), (96, 192)
    boxes = np.array([[0, 0, 64, 48], [10, 20, 30, 40]], np.float32)

    got = boxes_to_image(boxes, canvas, image, "matterport")

    np.testing.assert_allclose(got[0], [0, 0, 192, 96])
    lower = np.array([10 / 63 * 191, 20 / 47 * 95])
    upper = np.array([29 / 63 * 191 + 1, 39 / 47 * 95 + 1])
    np.testing.assert_allclose(got[1], [*lower, *upper], rtol=1e-6)
    np.testing.assert_array_equal(boxes_to_image(boxes, canvas, (48, 64), "matterport"), boxes)


@pytest.mark.parametrize("rule", PASTES)
def test_results_are_pasted_by_the_contract_s_rule(rule: str, contract_with: Make) -> None:
    mask = probabilities(3, SIDE)
    arrays = {
        "num_detections": np.array([1], np.int32),
        "boxes": np.array([[[8.3, 4.6, 40.2, 36.9]]], np.float32),
        "scores": np.array([[0.9]], np.float32),
        "labels": np.zeros((1, 1), np.int32),
        "masks": mask[None, None],
    }
    batch = Batch(np.zeros((1, 64, 64, 3), np.uint8), np.array([[48, 64]], np.float32), ((96, 192),))

    (result,) = postprocess(Outputs(arrays), batch, contract_with(paste=rule))

    box = boxes_to_image(arrays["boxes"][0], batch.image_sizes[0], (96, 192), rule)[0]
    np.testing.assert_array_equal(result.boxes[0], box)
    expected = paste_mask(mask, box, 96, 192, 0.5, rule).pasted(96, 192)
    np.testing.assert_array_equal(result.masks[0], expected)
