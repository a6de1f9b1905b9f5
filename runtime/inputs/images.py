"""Finds image files in folders and globs, and decodes them."""

from __future__ import annotations

import math
import os
import re
import stat
from pathlib import Path, PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.errors import ImageError
from maskrt.runtime.files.guard import note_read
from maskrt.runtime.inputs.image_size import declared_size
from maskrt.runtime.inputs.labels_beside import is_of_labels

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
MAX_PIXELS = 1 << 30  # OpenCV's own limit
MOST_BYTES_PER_PIXEL = 8  # what the widest of formats takes without compressing: four channels of 16 bits
MOST_BYTES_BESIDE = 1 << 26  # thumbnails, colour profiles and whatever else cameras put into a file
_JPEG_START = b"\xff\xd8"
_KNOWN_STARTS = (_JPEG_START, b"\x89PNG\r\n", b"BM", b"II*\x00", b"MM\x00*", b"RIFF")
# What OpenCV would log is raised instead. 0 is its LOG_LEVEL_SILENT; the setter moved in OpenCV 5.
(cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel)(0)
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in entropy-coded data 0xFF is followed by 0 or RSTn


def read_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode an image file to (H, W, 3) uint8, RGB, upright (EXIF orientation applied).

    16 bits a channel are scaled to 8, grey is repeated, alpha is dropped, CMYK is converted. Raises
    ImageError, which names the file, for anything but a whole image of at most `max_pixels`.
    """
    try:
        status = os.stat(path)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise ImageError(f"{path}: no file but a pipe, a socket or a device. Name an image file.")
        check_bytes(str(path), status.st_size, max_pixels)
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}).") from error
    return decode_image(data, str(path), max_pixels=max_pixels)


def decode_image(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode an image file's content, as `read_image` does; `name` is for messages."""
    if not data:
        raise ImageError(f"{name}: the file is empty (0 bytes). Copy the file again.")
    check_pixels(name, declared_size(data), max_pixels)
    if data.startswith(_JPEG_START) and not _jpeg_is_whole(data):
        raise ImageError(f"{name}: a JPEG cut off after {len(data)} bytes. Copy the file again.")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        reason = "too large" if "MAX_IMAGE" in error.err else f"cannot be decoded ({error.err})"
        raise ImageError(f"{name}: {reason}. Scale it down, or save it as PNG or JPEG.") from error
    if image is None and data.startswith(_KNOWN_STARTS):
        raise ImageError(
            f"{name}: a damaged or cut-off image of {len(data)} bytes, or a variant that cannot be decoded. "
            "Copy the file again, or save it as PNG or JPEG."
        )
    if image is None:
        raise ImageError(
            f"{name}: not an image that can be decoded (it begins with {data[:8]!r}); "
            f"expected one of {', '.join(IMAGE_SUFFIXES)}."
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def check_pixels(name: str, size: tuple[int, int] | None, max_pixels: int) -> None:
    """Raise ImageError where a declared (height, width) is more than `max_pixels`."""
    if size is not None and size[0] * size[1] > max_pixels:
        megapixels = math.ceil(size[0] * size[1] / 1e6)
        raise ImageError(
            f"{name}: too large: {size[1]}x{size[0]} is {megapixels} megapixels, the limit is "
            f"{max_pixels / 1e6:g}. Scale it down, or raise the limit: "
            f"maskrt infer … --max-megapixels {megapixels}"
        )


def check_bytes(name: str, size_bytes: int, max_pixels: int) -> None:
    """Raise ImageError, before the file is read, where it is larger than any image of `max_pixels`."""
    if size_bytes > max_pixels * MOST_BYTES_PER_PIXEL + MOST_BYTES_BESIDE:
        raise ImageError(
            f"{name}: too large: {size_bytes / 1e6:.0f} MB are more than an image of {max_pixels / 1e6:g} "
            "megapixels can take, which is the limit. If it is one: maskrt infer … --max-megapixels N"
        )


def is_image(name: str) -> bool:
    """True if a file of a folder or an archive counts as an image: by its suffix, unless it is hidden.

    macOS puts a hidden ._a.jpg beside every a.jpg, which is no picture.
    """
    path = PurePath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def find_images(inputs: list[str]) -> list[Path]:
    """Find the image files named by `inputs`: files (by any name), folders (recursively) and globs.

    They are sorted within each input, each file once. Below a folder, label maps and masks that lie in a
    folder beside that of the images are left out. Links to folders are not followed below a folder or a `**`.
    Raises ImageError where an input names nothing.
    """
    found: dict[Path, Path] = {}  # by the file itself, so that two ways to write its name are one
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            files = sorted(
                p for p in path.rglob("*") if is_image(p.name) and p.is_file() and not is_of_labels(p, path)
            )
            if not files:
                raise ImageError(
                    f"{path}: a folder with no images (looked for {', '.join(IMAGE_SUFFIXES)}, deeply)."
                )
        else:
            files = [path] if path.exists() else find_glob(text)
        for file in files:
            found.setdefault(file.resolve(), file)
    note_read(*found.values())
    return list(found.values())


def find_glob(pattern: str) -> list[Path]:
    """Find the files that match a glob, sorted. Raises ImageError where none does."""
    path = Path(pattern)
    # Unlike glob.glob, Path.glob follows no links below `**`: two that lead back are a loop without end.
    matches = Path(path.anchor).glob(str(path.relative_to(path.anchor))) if path.parts else []
    try:
        files = sorted(match for match in matches if match.is_file())
    except ValueError as error:  # of a pattern; Python before 3.13 has ** stand alone, for folders
        raise ImageError(
            f"{pattern}: no pattern for names ({error}). For example: photos/**/*.jpg"
        ) from error
    if not files:
        raise ImageError(f"{pattern}: no such file, folder, or glob with a match.")
    return files


def is_cut_off_jpeg(path: str | os.PathLike[str]) -> bool:
    """True if a JPEG file lacks its end. Reads the whole file only if the marker is not at its end."""
    with Path(path).open("rb") as stream:
        if stream.read(2) != _JPEG_START:
            return False
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - 2))
        if stream.read() == b"\xff\xd9":
            return False
        stream.seek(0)
        return not _jpeg_is_whole(stream.read())


def _jpeg_is_whole(data: bytes) -> bool:
    """True if the end-of-image marker is there. OpenCV fills a cut-off JPEG with grey and gives no error."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte, of which any number may precede a marker (ITU-T T.81, B.1.1.2)
            position += 1
            continue
        if marker == 0xD9:
            return True
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xDA:  # start of scan: entropy-coded data follows, up to the next marker
            found = _JPEG_MARKER.search(data, position)
            if found is None:
                return False
            position = found.start()
    return position + 2 <= len(data) and data[position : position + 2] == b"\xff\xd9"
