"""Images in buckets and on network file systems, named by URIs (s3://bucket/photos), through Apache Arrow."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from maskrt.runtime.errors import ImageError, MissingDependencyError
from maskrt.runtime.inputs.frames import Frame, Skipped
from maskrt.runtime.inputs.images import IMAGE_SUFFIXES, MAX_PIXELS, check_bytes, decode_image, is_image
from maskrt.runtime.packages import install

SCHEMES = ("s3", "gs", "gcs", "hdfs", "abfs", "file")  # of those that Arrow opens (pyarrow.fs)


def path_of(uri: str) -> str:
    """Path of a URI's file for output names: the part below the scheme, without options."""
    scheme, _, rest = uri.partition("://")
    return f"/{scheme}/{unquote(rest.partition('?')[0]).lstrip('/')}"


def is_bucket(text: str) -> bool:
    """True if an input is a URI that Arrow opens."""
    return text.partition("://")[0] in SCHEMES and "://" in text


@dataclass(frozen=True)
class BucketFile:
    """Source of one image behind a URI."""

    name: str
    max_pixels: int = MAX_PIXELS
    still = True
    live = False
    length = 1

    def frames(self) -> Generator[Frame | Skipped, None, None]:
        """Yields the image, or a Skipped that says why there is none."""
        filesystem, path = _open(self.name)
        try:
            with filesystem.open_input_file(path) as stream:
                check_bytes(self.name, stream.size(), self.max_pixels)
                data = stream.read()
            yield Frame(self.name, decode_image(data, self.name, max_pixels=self.max_pixels))
        except ImageError as error:
            yield Skipped(self.name, str(error))
        except OSError as error:
            yield Skipped(self.name, f"{self.name}: cannot be read ({error}).")


def list_bucket(uri: str) -> list[str]:
    """List the URIs of the images below a URI, recursively and sorted; a file's URI lists itself.

    Raises ImageError where there is none.
    """
    filesystem, path = _open(uri)
    from pyarrow.fs import FileSelector, FileType

    try:
        (info,) = filesystem.get_file_info([path])
        found = [info] if info.type == FileType.File else []
        if info.type == FileType.Directory:
            found = filesystem.get_file_info(FileSelector(path, recursive=True))
    except OSError as error:
        raise ImageError(
            f"{uri}: cannot be listed ({error}). Check its name and your access to it."
        ) from error
    below = sorted(
        entry.path
        for entry in found
        if entry.type == FileType.File and (entry.path == path or is_image(entry.path))
    )
    if not below:
        raise ImageError(f"{uri}: nothing there that is an image ({', '.join(IMAGE_SUFFIXES)}).")
    scheme, _, rest = uri.partition("://")
    options = "".join(
        rest.partition("?")[1:]
    )  # of the connection, as in s3://bucket/photos?region=eu-north-1
    return [f"{scheme}://{quote(entry)}{options}" for entry in below]


def _open(uri: str) -> tuple[Any, str]:
    """Open Arrow's file system of a URI; returns it with the path inside it."""
    try:
        from pyarrow.fs import FileSystem
    except ImportError as error:
        raise MissingDependencyError(
            f"{uri}: reading from it needs pyarrow. Install it: {install('ray')}"
        ) from error
    try:
        filesystem, path = FileSystem.from_uri(uri.replace(" ", "%20"))
    except (OSError, ValueError) as error:
        raise ImageError(f"{uri}: not an address that Arrow opens ({error}).") from error
    return filesystem, path
