"""Masks put together of prototypes: as torch enlarges the whole mask, cropped as YOLACT's authors crop it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from maskrt.runtime.tasks.instances.assemble import Frame, cut_out, put_together

CELLS = (23, 31)


def made(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    smooth = generator.normal(size=(4, 6, 8)).astype(np.float32)
    prototypes = interpolate(torch.from_numpy(smooth)[None], CELLS, mode="bilinear")[0].numpy()
    return np.maximum(prototypes, 0), generator.normal(size=4).astype(np.float32) * 3


def literally(
    prototypes: np.ndarray, coefficients: np.ndarray, box: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    mask = 1 / (1 + np.exp(-np.tensordot(coefficients, prototypes, axes=1)))
    y, x = np.mgrid[: CELLS[0], : CELLS[1]]
    inside = (x >= box[0] - 1) & (x < box[2] + 1) & (y >= box[1] - 1) & (y < box[3] + 1)
    whole = torch.from_numpy((mask * inside).astype(np.float32))[None, None]
    return (interpolate(whole, size, mode="bilinear", align_corners=False)[0, 0] > 0.5).numpy()


@pytest.mark.parametrize("size", [(460, 310), (100, 500), (10, 12), (1, 1), (2000, 5)])
@pytest.mark.parametrize("box", [(3.2, 4.7, 20.1, 15.0), (0.0, 0.0, 31.0, 23.0), (30.0, 22.0, 31.0, 23.0)])
def test_a_mask_is_what_torch_makes_of_the_whole(size: tuple[int, int], box: tuple[float, ...]) -> None:
    prototypes, coefficients = made(0)
    of_cells = np.array(box, np.float32)
    frame = Frame(CELLS, (CELLS[0] / size[0], CELLS[1] / size[1]), size)

    mask = frame.pasted(put_together(prototypes, coefficients, of_cells), 0.5).pasted(*size)

    expected = literally(prototypes, coefficients, of_cells, size)
    assert np.mean(mask != expected) <= 1e-4, "but for a last bit at the threshold"


def test_a_mask_given_whole_is_the_same() -> None:
    prototypes, coefficients = made(1)
    box = np.array([3.2, 4.7, 20.1, 15.0], np.float32)
    window = put_together(prototypes, coefficients, box)
    again = cut_out(window.whole(*CELLS), box)
    assert (again.top, again.left) == (window.top, window.left)
    assert np.array_equal(again.values, window.values)


@pytest.mark.parametrize("box", [(5.0, 5.0, 5.0, 9.0), (40.0, 2.0, 44.0, 9.0), (0.0, 0.0, 0.0, 0.0)])
def test_a_box_without_area_or_off_the_canvas_has_no_mask(box: tuple[float, ...]) -> None:
    prototypes, coefficients = made(2)
    frame = Frame(CELLS, (0.1, 0.1), (230, 310))
    crop = frame.pasted(put_together(prototypes, coefficients, np.array(box, np.float32)), 0.5)
    assert crop.area_px == 0
    assert crop.pasted(230, 310).shape == (230, 310)
