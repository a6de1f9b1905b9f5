"""Each filter is its original's: Pillow's and OpenCV's on the pixel, skimage's by its definition."""

from __future__ import annotations

import itertools
import math
import sys

import cv2
import numpy as np
import PIL
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from maskrt.runtime.contract import RESIZES, ROUNDINGS, Canvas
from maskrt.runtime.errors import ModelError
from maskrt.runtime.preprocess import preprocess, resized_size
from maskrt.runtime.resize import resize
from maskrt.runtime.resize.pillow import by_matrices
from maskrt.runtime.resize.skimages import by_skimage, by_skimage_in_float

sides = st.integers(1, 120)
# Pillow 13 resizes the height first where it loses more than twice the pixels; all before it, the width.
CHOOSES_AN_AXIS = int(PIL.__version__.split(".")[0]) >= 13


def canvas_of(**changes: object) -> Canvas:
    fixed = {"min_size_px": 64, "max_size_px": 96, "stride": 32, "height_px": None, "width_px": None}
    return Canvas(**{**fixed, "dtype": "uint8", **changes})  # type: ignore[arg-type]


def picture(height: int, width: int, seed: int, contrast: bool = False) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.where(pixels > 127, np.uint8(255), np.uint8(0)) if contrast else pixels


def pillows(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


@given(sizes=st.tuples(sides, sides, sides, sides), seed=st.integers(0, 99), contrast=st.booleans())
@example(sizes=(120, 1, 3, 90), seed=0, contrast=True)
@example(sizes=(37, 50, 37, 90), seed=0, contrast=False)  # one pass alone
@settings(max_examples=200)
def test_without_pillow_every_pixel_is_as_pillow_has_it(
    sizes: tuple[int, int, int, int], seed: int, contrast: bool
) -> None:
    height, width, new_height, new_width = sizes
    if not CHOOSES_AN_AXIS and 0 < height - new_height > 2 * (width - new_width):
        new_height = height
    image = picture(height, width, seed, contrast)

    got = by_matrices(image, (new_height, new_width))

    np.testing.assert_array_equal(got, pillows(image, (new_height, new_width)))


def test_of_a_photograph_s_size_too() -> None:
    image = picture(480, 640, 0)

    for size in ((800, 1067), (200, 267)):
        np.testing.assert_array_equal(by_matrices(image, size), pillows(image, size))


def test_with_pillow_it_is_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    image, canvas = picture(50, 70, 0), canvas_of(resize="pil")

    expected = pillows(image, (20, 28))

    np.testing.assert_array_equal(resize(image, (20, 28), canvas), expected)
    monkeypatch.setitem(sys.modules, "PIL", None)
    np.testing.assert_array_equal(resize(image, (20, 28), canvas), expected)


@pytest.mark.parametrize("works_on", [None, "uint8", "float32"])
def test_opencv_s_is_opencv_s(works_on: str | None) -> None:
    image = picture(50, 70, 0)
    pixels = image.astype(works_on or "uint8")

    got = resize(image, (31, 90), canvas_of(resize="opencv", resize_dtype=works_on, dtype="float32"))

    np.testing.assert_array_equal(got, cv2.resize(pixels, (90, 31)).astype(np.float32))


def slow_skimage(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """By the definition, pixel by pixel: four neighbours, black beyond the border, within the image's range."""
    out = np.zeros((*size, *image.shape[2:]))
    for row, column in itertools.product(*map(range, size)):
        y, x = (
            (place + 0.5) * (source / target) - 0.5
            for place, source, target in zip((row, column), image.shape[:2], size, strict=True)
        )
        for r, c in itertools.product((math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)):
            if 0 <= r < image.shape[0] and 0 <= c < image.shape[1]:
                out[row, column] += image[r, c] * (1 - abs(y - r)) * (1 - abs(x - c))
    return np.clip(out, image.min(), image.max())


@pytest.mark.parametrize("size", [(19, 31), (5, 7), (9, 13), (30, 4)])
def test_skimage_s_has_black_around_the_picture(size: tuple[int, int]) -> None:
    image = picture(9, 13, 0)

    np.testing.assert_allclose(by_skimage_in_float(image, size), slow_skimage(image, size), atol=1e-9)


@given(sizes=st.tuples(sides, sides, sides, sides), seed=st.integers(0, 99), flat=st.booleans())
@settings(max_examples=60)
@example(sizes=(1, 1, 120, 3), seed=0, flat=True)
def test_skimage_s_is_what_scipy_gives_it(sizes: tuple[int, int, int, int], seed: int, flat: bool) -> None:
    """skimage clips what scipy's zoom gives to the image's range; Matterport cuts it off."""
    zoom = pytest.importorskip("scipy.ndimage").zoom
    image, size = picture(*sizes[:2], seed, contrast=flat), sizes[2:]
    factors = [1 / (source / target) for source, target in zip(image.shape, (*size, 3), strict=True)]
    theirs = zoom(image.astype(float), factors, order=1, mode="grid-constant", grid_mode=True)

    got = by_skimage(image, size)

    np.testing.assert_array_equal(got, np.clip(theirs, image.min(), image.max()).astype(np.uint8))


def test_skimage_s_is_cut_off_not_rounded() -> None:
    """What skimage 0.26 gives, cast as Matterport casts it."""
    image = np.array([[126, 216, 154], [81, 97, 146]], np.uint8)[..., None].repeat(3, axis=2)

    got = resize(image, (4, 4), canvas_of(resize="skimage"))[..., 0]

    assert got.tolist() == [[82, 136, 144, 101], [100, 159, 173, 133], [81, 113, 134, 129], [81, 81, 86, 95]]


@pytest.mark.parametrize("rule", RESIZES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_filter_fills_the_canvas_that_is_given(rule: str, dtype: str) -> None:
    canvas = canvas_of(resize=rule, dtype=dtype)
    image = picture(50, 70, 0)

    batch = preprocess([image], canvas)

    h, w = (int(side) for side in batch.image_sizes[0])
    assert (h, w) == (64, 89)
    assert batch.images.dtype == dtype
    np.testing.assert_array_equal(batch.images[0, :h, :w], resize(image, (h, w), canvas))


@pytest.mark.parametrize("rule", RESIZES)
def test_a_picture_of_that_size_is_left_as_it_is(rule: str) -> None:
    image = picture(64, 80, 0)

    got = resize(image, (64, 80), canvas_of(resize=rule))

    np.testing.assert_array_equal(got, image)
    assert not np.may_share_memory(got, image)


def test_float_pixels_are_rounded_for_a_canvas_of_uint8() -> None:
    image = picture(50, 70, 0)
    in_float = resize(image, (31, 90), canvas_of(dtype="float32"))

    got = resize(image, (31, 90), canvas_of(resize_dtype="float32"))

    np.testing.assert_array_equal(got, np.rint(in_float).astype(np.uint8))


def detectron2_size(height: int, width: int, short: int, longest: int) -> tuple[int, int]:
    """ResizeShortestEdge.get_output_shape of its data/transforms/augmentation_impl.py, in its order."""
    scale = float(short) / min(height, width)
    new = (float(short), scale * width) if height < width else (scale * height, float(short))
    if max(new) > longest:
        scale = float(longest) / max(new)
        new = (new[0] * scale, new[1] * scale)
    return int(new[0] + 0.5), int(new[1] + 0.5)


def mmdetection_size(height: int, width: int, short: int, longest: int) -> tuple[int, int]:
    """mmcv's rescale_size."""
    scale = min(longest / max(height, width), short / min(height, width))
    return int(height * float(scale) + 0.5), int(width * float(scale) + 0.5)


def single_level_size(height: int, width: int, short: int, longest: int) -> tuple[int, int]:
    """Transformer.resize of Okery's PyTorch-Simple-MaskRCNN, model/transform.py."""
    scale = min(short / float(min(height, width)), longest / float(max(height, width)))
    return round(height * scale), round(width * scale)


@given(height=st.integers(1, 3000), width=st.integers(1, 3000))
@example(height=640, width=642)  # 802.5 px of 800
@example(height=192, width=195)
@example(height=1280, width=31)  # a tie that the two decide differently
def test_sizes_are_rounded_as_the_originals_round(height: int, width: int) -> None:
    for short, longest in ((800, 1333), (480, 640)):
        rule = {"min_size_px": short, "max_size_px": longest}
        for rounding, theirs in (
            *(("nearest", mmdetection_size), ("nearest_by_side", detectron2_size)),
            ("half_to_even", single_level_size),
        ):
            got = resized_size(height, width, canvas_of(**rule, rounding=rounding))
            assert got == tuple(max(1, side) for side in theirs(height, width, short, longest))


def test_the_two_ways_to_the_nearest_differ_in_ties() -> None:
    sizes = {
        rounding: resized_size(1280, 31, canvas_of(min_size_px=480, max_size_px=640, rounding=rounding))
        for rounding in ("nearest", "nearest_by_side")
    }

    assert len(set(sizes.values())) == 2


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_on_a_fixed_canvas_a_picture_fits_however_it_is_rounded(rounding: str) -> None:
    canvas = canvas_of(min_size_px=800, max_size_px=1333, height_px=320, width_px=416, rounding=rounding)

    for height, width in itertools.product((1, 100, 319, 321, 480, 2000), repeat=2):
        size = resized_size(height, width, canvas)
        assert size[0] <= 320
        assert size[1] <= 416


def test_a_filter_of_a_newer_version_is_refused() -> None:
    with pytest.raises(ModelError, match=r"canvas resize is 'jax' of uint8, expected one of .*pil of uint8"):
        preprocess([picture(20, 40, 0)], canvas_of(resize="jax"))
