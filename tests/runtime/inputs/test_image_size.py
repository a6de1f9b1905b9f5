"""The size in a header is the size that OpenCV decodes."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskrt.runtime.inputs.image_size import declared_size

SIZES = [(1, 1), (3, 7), (300, 17), (64, 1000)]


def by_opencv(suffix: str, size: tuple[int, int], *options: int) -> bytes:
    return cv2.imencode(suffix, np.zeros((*size, 3), np.uint8), list(options))[1].tobytes()


def by_pillow(kind: str, size: tuple[int, int], **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_reads_what_opencv_writes(suffix: str, size: tuple[int, int]) -> None:
    assert declared_size(by_opencv(suffix, size)) == size


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"progressive": True}),
        ("JPEG", {"exif": b"Exif\0\0" + b"\0" * 300}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0" + b"\0" * 300}),
        ("WEBP", {"quality": 50}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
    ids=str,
)
def test_reads_what_pillow_writes(kind: str, options: dict[str, object], size: tuple[int, int]) -> None:
    assert declared_size(by_pillow(kind, size, **options)) == size


def test_reads_a_bitmap_from_the_top_down_and_one_of_os2() -> None:
    data = bytearray(by_opencv(".bmp", (5, 9)))
    data[22:26] = struct.pack("<i", -5)
    assert declared_size(bytes(data)) == (5, 9)
    assert declared_size(b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 9, 5, 1, 24)) == (5, 9)


def test_reads_a_tiff_of_the_other_byte_order() -> None:
    entries = (
        struct.pack(">H", 2) + struct.pack(">HHIHH", 256, 3, 1, 9, 0) + struct.pack(">HHII", 257, 4, 1, 5)
    )
    assert declared_size(b"MM" + struct.pack(">HI", 42, 8) + entries) == (5, 9)


@given(st.sampled_from([".png", ".jpg", ".bmp", ".tif", ".webp"]), st.integers(0, 60))
def test_says_nothing_of_a_header_that_is_cut_off(suffix: str, length: int) -> None:
    got = declared_size(by_opencv(suffix, (3, 7))[:length])
    assert got in (None, (3, 7))


@given(st.sampled_from([b"\x89PNG", b"\xff\xd8", b"BM", b"II*\0", b"MM\0*", b"RIFF"]), st.binary(max_size=80))
def test_never_fails(start: bytes, rest: bytes) -> None:
    declared_size(start + rest)


def test_says_nothing_of_another_format() -> None:
    assert declared_size(b"GIF89a") is None
    assert declared_size(b"") is None
