"""Writing files so that nobody ever reads half of one."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import MaskrtError


class PendingFile:
    """A file under a temporary name beside the one it is to have, until `keep` or `discard`.

    temporary: what to write to. Creates missing parent folders.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises MaskrtError where the folder cannot be written."""
        self.path = Path(path)
        if self.path.is_dir():
            raise MaskrtError(
                f"{path}: a folder; name the file to write in it, e.g. -o {self.path / 'output'}"
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(
                dir=self.path.parent, prefix=f".{self.path.stem}-", suffix=self.path.suffix
            )
        except OSError as error:
            raise MaskrtError(
                f"{path}: cannot be written ({error.strerror}). Choose another output."
            ) from error
        os.close(handle)
        self.temporary = Path(name)

    def keep(self) -> None:
        """Give the file its name. Raises MaskrtError, and removes it, where that fails."""
        try:
            umask = os.umask(0)
            os.umask(umask)
            self.temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner can read
            self.temporary.replace(self.path)
        except OSError as error:
            raise self.failed(error) from error

    def discard(self) -> None:
        """Remove the file."""
        self.temporary.unlink(missing_ok=True)

    def failed(self, error: OSError) -> MaskrtError:
        """Remove the file; gives what to raise where writing it failed."""
        self.discard()
        return MaskrtError(f"{self.path}: could not be written ({error.strerror}). Free some space there.")


def check_writable(*paths: str | os.PathLike[str]) -> None:
    """Raise MaskrtError where one could not be written: before the work whose result it is to hold.

    Creates missing parent folders, as writing will.
    """
    for path in paths:
        PendingFile(path).discard()


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    Creates missing parent folders. Raises MaskrtError where the folder cannot be written.
    """
    pending = PendingFile(path)
    try:
        yield pending.temporary
    except OSError as error:
        raise pending.failed(error) from error
    except BaseException:
        pending.discard()
        raise
    pending.keep()


@contextmanager
def claimed_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder and hold it for this process: two runs into one would mix their results.

    The lock is the kernel's, on the folder itself: it leaves no file, and ends with the process however that
    ends. Raises MaskrtError where another process holds it, or it cannot be made.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise MaskrtError(
            f"{folder}: cannot be written ({error.strerror}). Choose another output."
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise MaskrtError(
            f"{folder}: another run is writing into it. Wait for it, or choose another output."
        ) from error
    try:
        yield folder
    finally:
        os.close(handle)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text to `path` atomically, as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_png(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> None:
    """Write an image, (H, W, 3) RGB or (H, W) grey, atomically, in the format its suffix names.

    Raises MaskrtError for a suffix that OpenCV has no format for.
    """
    suffix = Path(path).suffix
    try:
        done, data = cv2.imencode(suffix, image[:, :, ::-1] if image.ndim == 3 else image)
    except cv2.error:
        done = False
    if not done:
        raise MaskrtError(
            f"{path}: OpenCV writes no {image.shape} image as {suffix or 'a file without a suffix'!r}. "
            "Name it .png or .jpg."
        )
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
