"""Opens what a user names on the command line as sources of frames."""

from __future__ import annotations

import functools
import lzma
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from maskrt.runtime.errors import ImageError
from maskrt.runtime.files.guard import check_readable, note_read
from maskrt.runtime.inputs.buckets import BucketFile, is_bucket, list_bucket
from maskrt.runtime.inputs.frames import Frame, Skipped, Source
from maskrt.runtime.inputs.images import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    check_bytes,
    decode_image,
    find_glob,
    find_images,
    is_image,
    read_image,
)
from maskrt.runtime.inputs.video import LiveStream, VideoFile, is_live, is_video

MOST_CAMERA = 255  # of Linux's /dev/video0 to /dev/video255
# What zipfile and its decompressors raise for a damaged member, one that is encrypted, or a method they lack.
UNPACKING_FAILS = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@dataclass(frozen=True)
class ImageFile:
    """Source of one image file."""

    name: str
    max_pixels: int = MAX_PIXELS
    still = True
    live = False
    length = 1

    def frames(self) -> Generator[Frame | Skipped, None, None]:
        """Yields the image, or a Skipped that says why there is none."""
        try:
            yield Frame(self.name, read_image(self.name, max_pixels=self.max_pixels))
        except ImageError as error:
            yield Skipped(self.name, str(error))


class Archive(zipfile.ZipFile):
    """Zip archive. A process that receives it by pickle opens it once for all of its members."""

    def __reduce__(self) -> tuple[Callable[[str], Archive], tuple[str]]:
        return open_archive, (str(self.filename),)


@functools.lru_cache(maxsize=4)
def open_archive(path: str) -> Archive:
    """Open an archive, or return the one that is open already: the last few are kept by path."""
    return Archive(path)


@dataclass(frozen=True)
class ZipMember:
    """Source of one image in a zip archive, which stays open while any of its members is in use."""

    name: str
    archive: Archive
    info: zipfile.ZipInfo
    max_pixels: int = MAX_PIXELS
    still = True
    live = False
    length = 1

    def frames(self) -> Generator[Frame | Skipped, None, None]:
        """Yields the image, or a Skipped that says why there is none."""
        try:
            check_bytes(self.name, self.info.file_size, self.max_pixels)
            data = self.archive.read(self.info)
            yield Frame(self.name, decode_image(data, self.name, max_pixels=self.max_pixels))
        except ImageError as error:
            yield Skipped(self.name, str(error))
        except UNPACKING_FAILS as error:
            yield Skipped(self.name, f"{self.name}: cannot be unpacked ({error}). Make the archive again.")


def open_inputs(inputs: list[str], *, max_pixels: int = MAX_PIXELS) -> list[Source]:
    """Open the sources in the order named, each file once.

    An input is an image file (whatever its suffix), a folder (its images, recursively), a zip or a bucket's
    URI (likewise), a video file, a glob of these, a camera's number, a URL, a GStreamer pipeline, or - for
    names on standard input, a line each. Raises ImageError where one names nothing.
    """
    sources: dict[object, Source] = {}
    for text in _with_stdin(inputs):
        if is_bucket(text):
            sources |= {name: BucketFile(name, max_pixels) for name in list_bucket(text)}
        elif "://" in text and text.lower().endswith(IMAGE_SUFFIXES):
            raise ImageError(
                f"{text}: an image behind a URL, where only videos and streams may be. Copy it here."
            )
        elif text.isdecimal() and int(text) > MOST_CAMERA and not Path(text).exists():
            raise ImageError(f"{text}: no such file, and no camera's number, which is {MOST_CAMERA} at most.")
        elif is_live(text):
            sources.setdefault(text, LiveStream(text))
        elif is_video(text) and "://" in text:
            sources.setdefault(text, VideoFile(text, max_pixels=max_pixels))
        else:
            for path in _files(text):
                for source in _sources_of(path, max_pixels):
                    sources.setdefault(Path(source.name).resolve(), source)
    note_read(*(source.name for source in sources.values()))
    return list(sources.values())


def _with_stdin(inputs: list[str]) -> list[str]:
    names: list[str] = []
    for text in inputs:
        names += _read_names() if text == "-" else [text]
    if not names:
        raise ImageError(
            "-: no name came on standard input. For example: find photos -name '*.jpg' | maskrt infer … -"
        )
    return names


def _read_names() -> list[str]:
    """The lines of standard input, of any encoding, as names are; those of Windows end with \\r\\n."""
    if sys.stdin is None:  # closed before Python began
        return []
    lines = (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
    return [os.fsdecode(line) for line in lines if line.strip()]


def _files(text: str) -> list[Path]:
    if not text:
        raise ImageError("an input with an empty name; is it a variable of the shell that is not set?")
    path = Path(text)
    if path.is_dir():
        return find_images([text])
    return [path] if path.exists() else find_glob(text)


def _sources_of(path: Path, max_pixels: int) -> list[Source]:
    check_readable(path)
    if is_video(str(path)):
        return [VideoFile(str(path), max_pixels=max_pixels)]
    if path.suffix.lower() == ".zip":
        return _members(path, max_pixels)
    return [ImageFile(str(path), max_pixels)]


def _members(path: Path, max_pixels: int) -> list[Source]:
    try:
        archive = Archive(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ImageError(f"{path}: not a zip archive that can be read ({error}). Make it again.") from error
    infos = sorted(archive.infolist(), key=lambda info: info.filename)
    members: list[Source] = [
        ZipMember(str(path / info.filename.lstrip("/")), archive, info, max_pixels)
        for info in infos
        if is_image(info.filename) and not info.is_dir()
    ]
    if not members:
        raise ImageError(f"{path}: an archive with no images (looked for {', '.join(IMAGE_SUFFIXES)}).")
    return members
