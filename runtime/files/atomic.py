"""Writes files atomically: a reader sees a file whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.guard import check_output
from maskrt.runtime.files.kinds import PICTURE, Kind
from maskrt.runtime.files.leftovers import Temporary


class PendingFile:
    """File under a temporary name beside its final one, until `keep` or `discard`.

    temporary: the path to write to. Missing parent folders are created.
    """

    def __init__(self, path: str | os.PathLike[str], kind: Kind) -> None:
        """kind: of the file. Raises MaskrtError where the folder cannot be written, or runtime/files/guard.py
        forbids the file."""
        self.path = Path(path)
        _check_place(self.path)
        check_output(self.path, kind)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._held = Temporary(self.path.parent, self.path.stem, self.path.suffix)
        except OSError as error:
            raise _unwritable(path, error) from error
        self.temporary = self._held.path

    def keep(self) -> None:
        """Rename the file to its final name. Where that fails, removes it and raises MaskrtError."""
        try:
            umask = os.umask(0)
            os.umask(umask)
            self.temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner can read
            self.temporary.replace(self.path)
        except OSError as error:
            raise self.failed(error) from error
        self._held.release()

    def discard(self) -> None:
        """Remove the file."""
        self.temporary.unlink(missing_ok=True)
        self._held.release()

    def failed(self, error: OSError) -> MaskrtError:
        """Remove the file; returns the error to raise where writing it failed."""
        self.discard()
        return MaskrtError(f"{self.path}: could not be written ({error.strerror}). Free some space there.")


def check_writable(*outputs: tuple[Path, Kind]) -> None:
    """Raise MaskrtError, before the work begins, where a file cannot or must not be written.

    Creates no folder.
    """
    for path, kind in outputs:
        _check_place(path)
        check_output(path, kind)
        folder, missing = path.parent, [path.name]
        while not folder.exists() and folder != folder.parent:
            folder, missing = folder.parent, [*missing, folder.name]
        if not folder.is_dir():
            raise _unwritable(folder, OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
        try:
            if max(len(os.fsencode(name)) for name in missing) > os.pathconf(folder, "PC_NAME_MAX"):
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
            handle, probe = tempfile.mkstemp(dir=folder)
            os.close(handle)
            os.unlink(probe)
        except OSError as error:
            raise _unwritable(folder / missing[-1], error) from error


def check_stream(path: Path, kind: Kind) -> None:
    """Check a file that grows under its own name, as `check_writable` does; a terminal or /dev/null is
    allowed."""
    if not path.is_char_device():
        check_writable((path, kind))


def _check_place(path: Path) -> None:
    """Raise MaskrtError where the path exists and is not a file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode):
        raise MaskrtError(f"{path}: a folder; name the file to write in it, e.g. -o {path / 'output'}")
    if not stat.S_ISREG(mode):
        raise MaskrtError(f"{path}: no file but a pipe, a socket or a device. Choose another output.")


def _unwritable(path: str | os.PathLike[str], error: OSError) -> MaskrtError:
    return MaskrtError(f"{path}: cannot be written ({error.strerror}). Choose another output.")


@contextmanager
def atomic_path(path: str | os.PathLike[str], kind: Kind) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    kind: of the file. Missing parent folders are created. Raises MaskrtError as PendingFile does.
    """
    pending = PendingFile(path, kind)
    try:
        yield pending.temporary
    except OSError as error:
        raise pending.failed(error) from error
    except BaseException:
        pending.discard()
        raise
    pending.keep()


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Create a folder in `parent` and remove it afterwards, with a `parent` that was created for it and is
    empty.

    Raises OSError.
    """
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    held = Temporary(parent, "folder", folder=True)
    try:
        yield held.path
    finally:
        shutil.rmtree(held.path, ignore_errors=True)
        held.release()
        with suppress(OSError):  # not empty: the work was done
            for folder in made:
                folder.rmdir()


@contextmanager
def claimed_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Create a folder and lock it for this process, so that two runs never mix their results in it.

    The kernel's lock is on the folder itself: it leaves no file, and ends with the process however that ends.
    Raises MaskrtError where another process holds it, or the folder cannot be created.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unwritable(folder, error) from error
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


def write_text(path: str | os.PathLike[str], text: str, kind: Kind) -> None:
    """Write text to `path` atomically, as UTF-8. kind: of the file."""
    with atomic_path(path, kind) as temporary:
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
    with atomic_path(path, PICTURE) as temporary:
        temporary.write_bytes(data.tobytes())
