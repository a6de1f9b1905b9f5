"""Temporary files and folders that a killed process leaves: named so that the next run can clear them.

A name holds the process's number, and its process a lock of the kernel on it, which ends with it however it
ends. One whose lock is free and whose process is gone is dead; any other may be a run's that goes on.
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
    """A new file, or folder, that no other name has, locked until `release`. Raises OSError."""

    def __init__(self, parent: Path, stem: str, suffix: str = "", *, folder: bool = False) -> None:
        """Clears what the dead left in `parent`, first."""
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
        """Let go of it; it stays where it is."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def clear(parent: Path) -> None:
    """Remove from a folder what dead processes of this user left there; looked for once a process."""
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
    """Unless a process on another machine, whose number means nothing here, holds it."""
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
    """Whether the lock is ours now; not every file system has locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
