from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from maskrt.runtime.tasks.instances.rle import compress, encode_crop

gap = st.integers(0, 3)
crops = st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(lambda shape: arrays(bool, shape))


def theirs(crop: np.ndarray, top: int, left: int, height: int, width: int) -> dict:
    full = np.zeros((height, width), np.uint8, order="F")
    full[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    rle = coco_mask.encode(full)
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}


@given(crop=crops, above=gap, before=gap, below=gap, after=gap)
@example(crop=np.ones((1, 1), bool), above=0, before=0, below=0, after=0)
@example(crop=np.zeros((1, 1), bool), above=0, before=0, below=0, after=0)
@example(crop=np.ones((4, 3), bool), above=0, before=0, below=0, after=0)  # one run over all columns
@example(crop=np.ones((4, 3), bool), above=0, before=2, below=0, after=2)  # full height: runs join
@example(crop=np.ones((4, 3), bool), above=2, before=0, below=0, after=0)  # reaches the bottom alone
@example(crop=np.ones((4, 3), bool), above=0, before=0, below=2, after=0)  # reaches the top alone
@example(crop=np.zeros((4, 3), bool), above=1, before=1, below=1, after=1)
@example(crop=np.eye(5, dtype=bool), above=0, before=0, below=0, after=0)
@example(crop=np.flipud(np.eye(2, dtype=bool)), above=0, before=0, below=0, after=0)  # joins at one bend
def test_is_pycocotools_encoding_of_the_pasted_mask(
    crop: np.ndarray, above: int, before: int, below: int, after: int
) -> None:
    height, width = above + crop.shape[0] + below, before + crop.shape[1] + after

    assert encode_crop(crop, above, before, height, width) == theirs(crop, above, before, height, width)


@pytest.mark.parametrize("fill", [0.02, 0.5, 0.98])
@pytest.mark.parametrize(("top", "left"), [(0, 0), (300, 500), (140, 260)])
def test_is_the_same_for_large_masks(fill: float, top: int, left: int) -> None:
    crop = np.random.default_rng(0).random((180, 140)) < fill

    assert encode_crop(crop, top, left, 480, 640) == theirs(crop, top, left, 480, 640)


@pytest.mark.parametrize("value", [False, True], ids=["empty", "full"])
def test_is_the_same_for_a_whole_image_of_one_value(value: bool) -> None:
    crop = np.full((480, 640), value)

    assert encode_crop(crop, 0, 0, 480, 640) == theirs(crop, 0, 0, 480, 640)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 12), (10, 4)])
def test_a_crop_without_pixels_is_an_empty_mask(shape: tuple[int, int], top: int, left: int) -> None:
    empty = theirs(np.zeros((10, 12), bool), 0, 0, 10, 12)

    assert encode_crop(np.zeros(shape, bool), top, left, 10, 12) == empty


@given(runs=st.lists(st.integers(1, 10**6), min_size=1, max_size=30), zeros=st.integers(0, 10**6))
def test_compressed_runs_decode_to_themselves(runs: list[int], zeros: int) -> None:
    counts = np.array([zeros, *runs], np.int64)

    compressed = compress(counts)

    size = [int(counts.sum()), 1]
    assert compressed == coco_mask.frPyObjects({"size": size, "counts": counts.tolist()}, *size)[
        "counts"
    ].decode("ascii")


@given(crop=crops, above=gap, before=gap)
def test_pycocotools_decodes_it(crop: np.ndarray, above: int, before: int) -> None:
    height, width = above + crop.shape[0], before + crop.shape[1]

    decoded = coco_mask.decode(encode_crop(crop, above, before, height, width))

    full = np.zeros((height, width), bool)
    full[above:, before:] = crop
    np.testing.assert_array_equal(decoded.astype(bool), full)


def test_leaves_the_runs_given_as_they_were() -> None:
    runs = np.array([5, 3, 4, 2, 9], np.int64)

    compress(runs)

    assert runs.tolist() == [5, 3, 4, 2, 9]
