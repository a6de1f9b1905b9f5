"""Temporary files and folders that a killed process leaves, named so that the next run can remove them.

A name holds the process's number, and the process holds a kernel lock on it, which ends with the process. A
file whose lock is free and whose process is gone is a leftover; any other may belong to a run that goes on.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from pathlib import Path

LONGEST_STEM = 40  # of a temporary name, which must not be too long where the name itself is not
_NAME = re.compile(r"\..{0,40}-maskrt-(?P<pid>\d+)-\w{8}(\..*)?", re.DOTALL)
_cleared: set[Path] = set()  # folders, once a process


class Temporary:
    """New file or folder under an unused name, locked until `release`. Raises OSError."""

    def __init__(self, parent: Path, stem: str, suffix: str = "", *, folder: bool = False) -> None:
        """Remove leftovers from `parent`, then create it."""
        clear(parent)
        prefix = f".{stem[:LONGEST_STEM]}-maskrt-{os.getpid()}-"
        if folder:
            name = tempfile.mkdtemp(dir=parent, prefix=prefix, suffix=suffix)
            self._handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
        else:
            self._handle, name = tempfile.mkstemp(dir=parent, prefix=prefix, suffix=suffix)
        self.path = Path(name)
        _lock(self._handle)

    def release(self) -> None:
        """Release the lock; the file stays where it is."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def clear(parent: Path) -> None:
    """Remove leftovers of this user's dead processes from a folder, which is searched once a process."""
    parent = parent.absolute()
    if parent in _cleared:
        return
    _cleared.add(parent)
    try:
        entries = list(os.scandir(parent))
    except OSError:  # a folder that may be written, but not looked into
        return
    for entry in entries:
        match = _NAME.fullmatch(entry.name)
        if match and entry.stat(follow_symlinks=False).st_uid == os.geteuid() and _gone(int(match["pid"])):
            _remove_unlocked(Path(entry.path))


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _remove_unlocked(path: Path) -> None:
    """Remove it unless a process on another machine, whose number means nothing here, holds the lock."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        if _lock(handle):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Try to take the lock; True if it is ours now. Not every file system has locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
