"""What may be given to a model for a picture, and what is made of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import maskrt
from maskrt.runtime.errors import ImageError
from maskrt.runtime.inputs.pictures import as_image

UPSIDE_DOWN = 3  # of EXIF's orientations
EXIF_ORIENTATION = 0x0112


def encoded(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes()


def turned(picture: np.ndarray) -> Image.Image:
    """A photograph taken upside down, whose EXIF says so."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[EXIF_ORIENTATION] = UPSIDE_DOWN
    Image.fromarray(picture[::-1, ::-1]).save(file, "PNG", exif=exif)
    return Image.open(file)


@pytest.mark.parametrize(
    "given",
    [
        lambda rgb: rgb,
        encoded,
        lambda rgb: bytearray(encoded(rgb)),
        lambda rgb: memoryview(encoded(rgb)),
        lambda rgb: np.dstack([rgb, np.full(rgb.shape[:2], 7, np.uint8)]),
        Image.fromarray,
        lambda rgb: Image.fromarray(rgb).convert("RGBA"),
        turned,
    ],
    ids=["RGB", "bytes", "bytearray", "memoryview", "RGBA", "PIL", "PIL RGBA", "PIL with EXIF"],
)
def test_is_the_same_picture_however_it_is_given(given: Any, picture: np.ndarray) -> None:
    np.testing.assert_array_equal(as_image(given(picture)), picture)


@pytest.mark.parametrize(
    "given",
    [
        lambda grey: grey,
        lambda grey: grey[:, :, None],
        lambda grey: grey.T.copy().T,
        Image.fromarray,
        lambda grey: Image.fromarray((grey.astype(np.uint16) << 8) + 99),
        lambda grey: Image.fromarray(grey).convert("LA"),
    ],
    ids=["2-D", "one channel", "in columns", "PIL L", "PIL 16 bits", "PIL LA"],
)
def test_grey_is_repeated(given: Any, picture: np.ndarray) -> None:
    grey = picture[:, :, 2]

    np.testing.assert_array_equal(as_image(given(grey)), np.dstack([grey] * 3))


def test_a_file_is_read_by_its_name(picture: np.ndarray, picture_file: Path) -> None:
    np.testing.assert_array_equal(as_image(picture_file), picture)
    np.testing.assert_array_equal(as_image(str(picture_file)), picture)


def test_an_array_that_is_right_is_not_copied(picture: np.ndarray) -> None:
    assert as_image(picture) is picture


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (
            np.zeros((4, 4, 3)),
            r"float64 \(4, 4, 3\), expected uint8 \(H, W, 3\) in RGB order.*Scale its values",
        ),
        (np.zeros((4, 4), np.uint16), r"uint16 \(4, 4\).*Scale its values"),
        (np.zeros((3, 40, 50), np.uint8), r"uint8 \(3, 40, 50\).*transpose\(1, 2, 0\)"),
        (np.zeros((2, 4, 5, 3), np.uint8), r"uint8 \(2, 4, 5, 3\).*list\(array\)"),
        (np.zeros((0, 4, 3), np.uint8), r"uint8 \(0, 4, 3\)"),
        (np.zeros((4, 4, 2), np.uint8), r"uint8 \(4, 4, 2\)"),
        (np.zeros(4, np.uint8), r"uint8 \(4,\)"),
        (Image.new("F", (4, 4)), "PIL image of mode 'F'"),
        (b"GIF89a", "cannot be decoded|not an image"),
        (b"", "0 bytes"),
        (None, "an image is a NoneType, expected a file's name"),
        (7, "an image is a int"),
    ],
)
def test_names_what_is_no_picture(bad: Any, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        as_image(bad)


def test_a_model_takes_any_of_them_alone_or_mixed(
    tiny_onnx: Path, picture: np.ndarray, picture_file: Path
) -> None:
    model = maskrt.load(tiny_onnx)
    given = [picture, picture_file, encoded(picture), Image.fromarray(picture)]

    together = model(given)

    assert len(together) == 4
    for one, result in zip(given, together, strict=True):
        np.testing.assert_array_equal(model(one)[0].boxes, result.boxes)
        np.testing.assert_array_equal(result.image, picture)


@pytest.mark.parametrize("given", [None, 7])
def test_a_model_names_what_is_no_picture(given: Any, tiny_onnx: Path) -> None:
    with pytest.raises(ImageError, match="expected a file's name"):
        maskrt.load(tiny_onnx)(given)
