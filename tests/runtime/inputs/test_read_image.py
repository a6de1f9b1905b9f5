"""Every kind of picture that people have comes out as (H, W, 3) uint8 RGB, upright."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from maskrt.runtime.inputs.images import read_image

EXIF_ORIENTATION = 0x0112
# PIL and OpenCV carry different builds of libjpeg, whose inverse cosine transform, chroma up-sampling and
# colour conversion each round to a grey level.
JPEG_GREY_LEVELS = 4
# Of compression at quality 95 on smooth ramps: what is read is still this picture and no other.
JPEG_LOSS_GREY_LEVELS = 16


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def distance(path: Path, expected: np.ndarray | Image.Image) -> int:
    """Largest difference in grey levels, once shape and type are right."""
    image, reference = read_image(path), np.asarray(expected)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.shape == reference.shape
    return int(np.abs(image.astype(int) - reference.astype(int)).max())


@pytest.fixture
def photo(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff"])
def test_lossless_formats_are_read_as_they_are(suffix: str, photo: Image.Image, tmp_path: Path) -> None:
    assert distance(save(photo, tmp_path / f"a{suffix}"), photo) == 0


def test_webp_is_read(photo: Image.Image, tmp_path: Path) -> None:
    assert distance(save(photo, tmp_path / "a.webp", lossless=True), photo) == 0


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("subsampling", [0, 2], ids=["4:4:4", "4:2:0"])
def test_jpeg_is_read(progressive: bool, subsampling: int, photo: Image.Image, tmp_path: Path) -> None:
    path = save(photo, tmp_path / "a.jpg", quality=95, progressive=progressive, subsampling=subsampling)

    assert distance(path, Image.open(path)) <= JPEG_GREY_LEVELS
    assert distance(path, photo) <= JPEG_LOSS_GREY_LEVELS


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_photos_are_turned_upright(orientation: int, suffix: str, photo: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    options = {"lossless": True} if suffix == ".webp" else {"quality": 95} if suffix == ".jpg" else {}
    path = save(photo, tmp_path / f"a{suffix}", exif=exif, **options)

    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")

    assert distance(path, upright) <= (JPEG_GREY_LEVELS if suffix == ".jpg" else 0)
    assert (upright.size == photo.size) == (orientation <= 4), "the control itself is turned"


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("grey", [False, True], ids=["colour", "grey"])
def test_16_bits_are_scaled_to_8(suffix: str, grey: bool, picture: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / f"deep{suffix}"
    deep = picture.astype(np.uint16) * 257  # 0xAB becomes 0xABAB, 255 becomes 65535
    assert cv2.imwrite(str(path), deep[:, :, 0] if grey else deep[:, :, ::-1])

    assert distance(path, picture[:, :, [0, 0, 0]] if grey else picture) == 0


def test_cmyk_jpeg_is_converted(photo: Image.Image, tmp_path: Path) -> None:
    path = save(photo.convert("CMYK"), tmp_path / "print.jpg", quality=95)

    assert distance(path, Image.open(path).convert("RGB")) <= JPEG_GREY_LEVELS


def test_grey_is_repeated(photo: Image.Image, tmp_path: Path) -> None:
    grey = photo.convert("L")

    assert distance(save(grey, tmp_path / "grey.png"), grey.convert("RGB")) == 0
    assert (
        distance(save(grey, tmp_path / "grey.jpg", quality=95), grey.convert("RGB")) <= JPEG_LOSS_GREY_LEVELS
    )


def test_black_and_white_is_stretched(photo: Image.Image, tmp_path: Path) -> None:
    bits = photo.convert("1")

    assert distance(save(bits, tmp_path / "fax.png"), bits.convert("RGB")) == 0


def test_a_palette_is_looked_up(photo: Image.Image, tmp_path: Path) -> None:
    indexed = photo.quantize(16)

    assert distance(save(indexed, tmp_path / "indexed.png"), indexed.convert("RGB")) == 0


def test_alpha_is_dropped(picture: np.ndarray, tmp_path: Path) -> None:
    alpha = np.linspace(0, 255, picture.shape[0] * picture.shape[1]).reshape(*picture.shape[:2], 1)
    rgba = Image.fromarray(np.concatenate([picture, alpha.astype(np.uint8)], axis=2))

    assert distance(save(rgba, tmp_path / "sticker.png"), picture) == 0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (20000, 50), (50, 20000), (1, 3000)])
def test_odd_sizes_are_read(height: int, width: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)

    assert distance(save(Image.fromarray(pixels), tmp_path / "odd.png", compress_level=1), pixels) == 0


def test_the_suffix_may_lie(photo: Image.Image, tmp_path: Path) -> None:
    path = save(photo, tmp_path / "really.png", format="PNG").rename(tmp_path / "claimed.jpg")

    assert distance(path, photo) == 0


def test_a_path_may_be_text(picture_file: Path, picture: np.ndarray) -> None:
    np.testing.assert_array_equal(read_image(str(picture_file)), picture)


def test_names_need_not_be_utf8(photo: Image.Image, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    photo.save(buffer, "PNG")
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 \xff.png"))
    try:
        path.write_bytes(buffer.getvalue())
    except OSError:
        pytest.skip("this filesystem takes UTF-8 names alone")

    assert distance(path, photo) == 0
