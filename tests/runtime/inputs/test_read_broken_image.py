"""Whatever is not a whole picture is an ImageError that names the file, its trouble, and what to do."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrt.runtime.errors import ImageError
from maskrt.runtime.inputs.images import read_image

CUT_OFF = (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)  # of the file's length
START_OF_IMAGE, END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_rows": 1},
    "4:2:0": {"subsampling": 2},
}


def encode(picture: np.ndarray, format: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format, **options)
    return buffer.getvalue()


def message(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_names_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()

    said = message(path)

    assert "the file is empty (0 bytes)" in said
    assert "Copy the file again" in said


def test_names_a_text_that_is_called_jpg(tmp_path: Path) -> None:
    path = tmp_path / "letter.jpg"
    path.write_text("Dear Sir or Madam")

    said = message(path)

    assert "not an image that can be decoded (it begins with b'Dear Sir')" in said
    assert "expected one of .jpg, .jpeg, .png" in said


def test_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in message(tmp_path / "absent.png")


def test_names_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder.png"
    folder.mkdir()

    assert "cannot be read (Is a directory)" in message(folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", CUT_OFF)
def test_names_a_jpeg_cut_off(kind: str, part: float, picture: np.ndarray, tmp_path: Path) -> None:
    data = encode(picture, quality=95, **KINDS[kind])
    path = tmp_path / "half.jpg"
    path.write_bytes(data[: int(len(data) * part)])

    said = message(path)

    assert f"a JPEG cut off after {int(len(data) * part)} bytes" in said
    assert "Copy the file again" in said


def test_names_a_jpeg_at_every_length_but_the_whole(picture: np.ndarray, tmp_path: Path) -> None:
    data, path = encode(picture[:16, :16], quality=50), tmp_path / "half.jpg"
    for length in range(2, len(data)):
        path.write_bytes(data[:length])
        assert "cut off" in message(path), length
    path.write_bytes(data)
    assert read_image(path).shape == (16, 16, 3)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_photo(picture: np.ndarray, tmp_path: Path) -> None:
    thumbnail = b"Exif\0\0" + encode(picture[:8, :8])
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = encode(picture).replace(START_OF_IMAGE, START_OF_IMAGE + segment, 1)
    path = tmp_path / "camera.jpg"

    path.write_bytes(data[: len(data) * 3 // 4])
    assert "cut off" in message(path)
    path.write_bytes(data)
    assert read_image(path).shape == picture.shape


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "trailing",
    [b"\0" * 10, b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 4, START_OF_IMAGE + b"\xff\xe0\0\x10JFIF"],
    ids=["padding", "motion photo", "second picture"],
)
def test_bytes_after_a_whole_jpeg_do_no_harm(
    kind: str, trailing: bytes, picture: np.ndarray, tmp_path: Path
) -> None:
    whole, more = tmp_path / "photo.jpg", tmp_path / "motion.jpg"
    whole.write_bytes(encode(picture, **KINDS[kind]))
    more.write_bytes(whole.read_bytes() + trailing)

    np.testing.assert_array_equal(read_image(more), read_image(whole))


@pytest.mark.parametrize("kind", KINDS)
def test_fill_bytes_before_a_marker_are_lawful(kind: str, picture: np.ndarray, tmp_path: Path) -> None:
    """Any marker may be preceded by any number of 0xFF (ITU-T T.81, B.1.1.2)."""
    whole, filled = tmp_path / "photo.jpg", tmp_path / "filled.jpg"
    data = encode(picture, **KINDS[kind])
    whole.write_bytes(data)
    tables = data.index(b"\xff\xdb")
    assert data.endswith(END_OF_IMAGE)
    filled.write_bytes(data[:tables] + b"\xff\xff" + data[tables:-2] + b"\xff" + END_OF_IMAGE)

    np.testing.assert_array_equal(read_image(filled), read_image(whole))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "WEBP"])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_other_formats_cut_off_are_damaged_not_unknown(
    format: str, part: float, picture: np.ndarray, tmp_path: Path
) -> None:
    data = encode(picture, format)
    path = tmp_path / f"half.{format.lower()}"
    path.write_bytes(data[: int(len(data) * part)])

    said = message(path)

    assert "expected one of" not in said, "it is one of them"
    assert "Copy the file again" in said


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_the_decoder_s_log_stays_off_the_terminal(
    format: str, picture: np.ndarray, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"half.{format.lower()}"
    data = encode(picture, format)
    path.write_bytes(data[: len(data) // 3])

    message(path)

    assert "0@" not in capfd.readouterr().err, (
        "OpenCV marks its lines with level, thread and time: [ WARN:0@0.1]"
    )


def test_names_a_picture_too_large_to_hold(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )

    said = message(path)

    assert "too large" in said, "and not in OpenCV's words: pixels <= CV_IO_MAX_IMAGE_PIXELS"
