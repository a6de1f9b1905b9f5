from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from maskrt.runtime.contract import Canvas
from maskrt.runtime.errors import ImageError, ModelError
from maskrt.runtime.preprocess import (
    canvas_size,
    corner,
    largest_canvas,
    preprocess,
    resized_size,
    round_up,
)
from maskrt.runtime.resize import resize

# torch rounds as fused multiply-add does where the processor has it; elsewhere the last bits of 255 differ.
FLOAT_GREY_LEVELS = 0.0 if torch.backends.cpu.get_cpu_capability().startswith("AVX") else 0.01
# OpenCV's uint8 resize rounds its weights to 11 bits and the result to the nearest level, where the exact
# value may lie just on the other side.
UINT8_GREY_LEVELS = 1.0
ANY = Canvas(min_size_px=64, max_size_px=96, stride=32, height_px=None, width_px=None, dtype="uint8")
sides = st.integers(1, 300)


def canvas_of(**changes: object) -> Canvas:
    return Canvas(**{**vars(ANY), **changes})


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def torch_resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float().contiguous()
    out = torch.nn.functional.interpolate(pixels, size, mode="bilinear", align_corners=False)
    return out[0].permute(1, 2, 0).numpy()


@given(height=sides, width=sides, min_size=st.integers(16, 128), extra=st.integers(0, 128))
@example(height=106, width=80, min_size=40, extra=27)  # 106 * (40 / 80) needs no rounding
@example(height=1, width=300, min_size=64, extra=0)  # torchvision's own result would be 0 px high
@settings(max_examples=150)
def test_sizes_are_torchvision_s(height: int, width: int, min_size: int, extra: int) -> None:
    transform = GeneralizedRCNNTransform(min_size, min_size + extra, [0, 0, 0], [1, 1, 1])
    canvas = canvas_of(min_size_px=min_size, max_size_px=min_size + extra)

    got = resized_size(height, width, canvas)

    try:
        theirs = transform([torch.zeros(3, height, width)])[0].image_sizes[0]
    except RuntimeError:  # torch cannot resize to nothing; a thin image keeps one pixel here
        assert 1 in got
    else:
        assert got == tuple(theirs)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(480, 640, (800, 1066)), (1, 1, (800, 800)), (20000, 50, (1333, 3)), (50, 20000, (3, 1333))],
)
def test_sizes_at_coco_s_scale(height: int, width: int, expected: tuple[int, int]) -> None:
    assert resized_size(height, width, canvas_of(min_size_px=800, max_size_px=1333)) == expected


@given(height=sides, width=sides, canvas_height=sides, canvas_width=sides)
@example(height=50, width=63, canvas_height=64, canvas_width=80)  # 64 x 80.64, which is 80 rounded down
def test_an_image_fits_a_fixed_canvas(height: int, width: int, canvas_height: int, canvas_width: int) -> None:
    canvas = canvas_of(height_px=canvas_height, width_px=canvas_width)

    h, w = resized_size(height, width, canvas)

    assert 1 <= h <= canvas_height
    assert 1 <= w <= canvas_width
    free_h, free_w = resized_size(height, width, ANY)
    if free_h <= canvas_height and free_w <= canvas_width:
        assert (h, w) == (free_h, free_w)
    else:
        assert h >= canvas_height - 1 or w >= canvas_width - 1, "smaller than the canvas asks for"


@given(height=sides, width=sides, new_height=sides, new_width=sides)
@example(height=37, width=300, new_height=211, new_width=299)
@settings(max_examples=60)
def test_float32_resize_is_torch_s(height: int, width: int, new_height: int, new_width: int) -> None:
    image = noise(height, width)

    got = resize(image, (new_height, new_width), canvas_of(dtype="float32"))

    assert (got.dtype, got.shape) == (np.float32, (new_height, new_width, 3))
    assert np.abs(got - torch_resize(image, (new_height, new_width))).max() <= FLOAT_GREY_LEVELS


@given(height=sides, width=sides, new_height=sides, new_width=sides)
@settings(max_examples=60)
def test_uint8_resize_is_within_a_grey_level(
    height: int, width: int, new_height: int, new_width: int
) -> None:
    image = noise(height, width)

    got = resize(image, (new_height, new_width), ANY)

    assert (got.dtype, got.shape) == (np.uint8, (new_height, new_width, 3))
    assert np.abs(got - torch_resize(image, (new_height, new_width))).max() <= UINT8_GREY_LEVELS


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_batch_of_mixed_sizes_shares_a_canvas(dtype: str) -> None:
    images = [noise(48, 64), noise(100, 40), noise(1, 1), noise(20000, 50)]
    canvas = canvas_of(dtype=dtype)

    batch = preprocess(images, canvas)

    assert batch.original_sizes == ((48, 64), (100, 40), (1, 1), (20000, 50))
    # the last is 95 as 20000 * (96 / 20000) is below 96: torchvision's arithmetic
    assert batch.image_sizes.tolist() == [[64, 85], [96, 38], [64, 64], [95, 1]]
    assert (batch.images.dtype, batch.images.shape) == (np.dtype(dtype), (4, 96, 96, 3))
    for image, on_canvas, (h, w) in zip(images, batch.images, batch.image_sizes.astype(int), strict=True):
        np.testing.assert_array_equal(on_canvas[:h, :w], resize(image, (h, w), canvas))
        assert not on_canvas[h:].any()
        assert not on_canvas[:, w:].any()


def test_a_fixed_canvas_is_given_whole() -> None:
    batch = preprocess([noise(48, 64)], canvas_of(height_px=32, width_px=160))

    assert batch.images.shape == (1, 32, 160, 3)
    assert batch.image_sizes.tolist() == [[32, 42]]
    assert not batch.images[:, :, 42:].any()


@pytest.mark.parametrize("placement", ["corner", "square"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_canvas_is_made_in_the_memory_that_is_given(dtype: str, placement: str) -> None:
    """Whatever that held before."""
    canvas = canvas_of(dtype=dtype, placement=placement, max_size_px=128)
    images = [noise(40, 70), noise(64, 128, 1), noise(90, 50, 2), noise(1, 1, 3)]
    memory = np.full((4, 128, 128, 3), 165, dtype)

    def empty(shape: tuple[int, ...], of: str) -> np.ndarray:
        assert (shape, of) == (memory.shape, dtype)
        return memory

    assert preprocess(images, canvas, empty=empty).images is memory
    for row, image in zip(memory, images, strict=True):
        (alone,) = preprocess(
            [image], canvas_of(**{**vars(canvas), "height_px": 128, "width_px": 128})
        ).images
        size = resized_size(*image.shape[:2], canvas)
        top, left = corner(size, (128, 128), placement)
        expected = np.zeros_like(alone)
        expected[top : top + size[0], left : left + size[1]] = resize(image, size, canvas)
        np.testing.assert_array_equal(row, expected)
        np.testing.assert_array_equal(alone, expected)


def test_the_image_given_stays_as_it_was() -> None:
    image = noise(48, 64)

    preprocess([image], ANY)

    np.testing.assert_array_equal(image, noise(48, 64))


def test_channels_stay_in_order() -> None:
    red = np.full((40, 40, 3), (250, 20, 10), np.uint8)

    assert preprocess([red], ANY).images[0, 5, 5].tolist() == [250, 20, 10]


@given(value=st.integers(0, 10_000), multiple=st.integers(1, 64))
def test_round_up_is_the_least_multiple(value: int, multiple: int) -> None:
    up = round_up(value, multiple)

    assert up % multiple == 0
    assert value <= up < value + multiple


@pytest.mark.parametrize(
    "wrong",
    [
        noise(8, 8).astype(np.float32),
        noise(8, 8).astype(np.uint16),
        noise(8, 8)[:, :, 0],
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
    ids=["float32", "uint16", "grey", "alpha", "batch", "channels first", "no rows"],
)
def test_names_an_array_that_is_no_image(wrong: np.ndarray) -> None:
    with pytest.raises(ImageError) as caught:
        preprocess([noise(8, 8), wrong], ANY)

    said = str(caught.value)
    assert f"image array is {wrong.dtype} {wrong.shape}, expected uint8 (H, W, 3) in RGB order" in said
    assert "maskrt.runtime.inputs.images.read_image" in said


def test_names_a_canvas_dtype_that_is_none() -> None:
    with pytest.raises(ModelError, match="canvas dtype is 'float16', expected 'uint8' or 'float32'"):
        preprocess([noise(8, 8)], canvas_of(dtype="float16"))


SQUARE = Canvas(800, 1024, 32, None, None, "uint8", "square")


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (480, 640, (768, 1024)),  # enlarged to 800 it would be 1067 wide
        (640, 640, (800, 800)),
        (900, 1000, (900, 1000)),  # left as it is; the rule above would make it 800 high
        (2900, 3000, (990, 1024)),  # 989.9
        (20000, 50, (1024, 3)),
    ],
)
def test_for_a_square_small_pictures_are_enlarged_and_large_ones_just_fit(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    """resize_image of Matterport's Mask_RCNN, mode "square", at its own 800 and 1024 px."""
    assert resized_size(height, width, SQUARE) == expected


def test_in_a_square_the_picture_is_in_the_middle_and_black_around_it() -> None:
    square = canvas_of(min_size_px=48, max_size_px=64, placement="square")
    batch = preprocess([noise(20, 40), noise(64, 32)], square)
    assert (batch.images.shape, batch.image_sizes.tolist()) == ((2, 64, 64, 3), [[32, 64], [64, 32]])
    assert batch.images[0, 16:48].any(axis=(1, 2)).all()
    assert not batch.images[0, :16].any()
    assert not batch.images[0, 48:].any()
    assert not batch.images[1, :, :16].any()
    assert batch.images[1, :, 16:48].any(axis=(0, 2)).all()
    fixed = preprocess([noise(20, 40)], canvas_of(height_px=32, width_px=96, placement="square"))
    assert (fixed.images.shape[1:3], fixed.image_sizes.tolist()) == ((32, 96), [[32, 64]])


def test_a_placement_of_a_newer_version_is_refused() -> None:
    with pytest.raises(ModelError, match=r"canvas placement is .round., expected one of .*square"):
        preprocess([noise(20, 40)], canvas_of(placement="round"))


NATIVE = canvas_of(min_size_px=520, max_size_px=600, stride=1, placement="native")
STRETCH = canvas_of(min_size_px=55, max_size_px=55, stride=1, placement="stretch")


def test_native_pictures_keep_every_pixel() -> None:
    image = noise(37, 61)

    batch = preprocess([image, noise(37, 61, 1)], NATIVE)

    np.testing.assert_array_equal(batch.images[0], image)
    assert batch.image_sizes.tolist() == [[37, 61], [37, 61]]
    padded = preprocess([image], canvas_of(placement="native")).images[0]
    assert padded.shape[:2] == (64, 64), "to the stride"
    np.testing.assert_array_equal(padded[:37, :61], image)
    assert not padded[37:].any()
    assert not padded[:, 61:].any()


@pytest.mark.parametrize(
    ("fixed", "picture", "expected"),
    [
        ((None, None), (37, 700), (31, 600)),  # longer than max_size_px
        ((64, 96), (37, 61), (37, 61)),  # smaller than the canvas: not enlarged
        ((64, 96), (128, 61), (64, 30)),
        ((64, 96), (65, 192), (32, 96)),
    ],
)
def test_native_pictures_are_made_smaller_only_where_they_do_not_fit(
    fixed: tuple[int | None, int | None], picture: tuple[int, int], expected: tuple[int, int]
) -> None:
    canvas = Canvas(**{**vars(NATIVE), "height_px": fixed[0], "width_px": fixed[1]})

    assert resized_size(*picture, canvas) == expected


def test_native_pictures_of_one_size_share_a_batch_and_others_do_not() -> None:
    sizes = [canvas_size(h, w, NATIVE) for h, w in ((37, 61), (37, 61), (37, 60))]

    assert sizes == [(37, 61), (37, 61), (37, 60)]


@pytest.mark.parametrize("fixed", [(None, None), (40, 72)])
@pytest.mark.parametrize("picture", [(20, 90), (90, 20), (55, 55)])
def test_stretched_pictures_fill_the_canvas(
    fixed: tuple[int | None, int | None], picture: tuple[int, int]
) -> None:
    canvas = Canvas(**{**vars(STRETCH), "height_px": fixed[0], "width_px": fixed[1]})
    size = (fixed[0] or 55, fixed[1] or 55)

    batch = preprocess([noise(*picture)], canvas)

    assert batch.images.shape[1:3] == size
    assert batch.image_sizes.tolist() == [list(size)]
    np.testing.assert_array_equal(batch.images[0], resize(noise(*picture), size, STRETCH))


@pytest.mark.parametrize(
    ("canvas", "expected"),
    [
        (ANY, (64, 96)),
        (canvas_of(placement="square"), (96, 96)),
        (STRETCH, (55, 55)),
        (NATIVE, (520, 600)),
        (canvas_of(placement="stretch", height_px=32, width_px=96), (32, 96)),
    ],
)
def test_the_canvas_of_the_largest_landscape_picture(canvas: Canvas, expected: tuple[int, int]) -> None:
    assert largest_canvas(canvas) == expected
