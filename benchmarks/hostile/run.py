"""Runs a case in a process of its own, forked from one that has imported everything, and judges how it ended.

A fork costs some hundredths of a second where a fresh interpreter takes seconds to import torch; and what one
case leaves behind in memory cannot reach the next.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import maskrt.__main__ as umbrella
from benchmarks.hostile.case import REFUSED, RIGHT, Case

LIMIT_S, MEMORY_BYTES, FILE_BYTES = 120.0, 3 << 30, 1 << 30
MOST_SAID = 5000  # characters on stderr: a sentence, or usage with one; not a page
POLL_S = 0.02
SMALL_BYTES = 1 << 20  # a file up to here is held to its bytes, a larger one to its size and time
OK = ("refused", "right")

Main = Callable[[list[str]], object]
Facts = dict[str, str]  # of the files in a folder, by name


@dataclass(frozen=True)
class Outcome:
    """How a case ended: "refused" and "right" are well, all else is a failure."""

    case: Case
    verdict: str
    code: int
    said: str
    seconds: float
    memory_bytes: int


def main_of(verb: str) -> Main:
    """The program of a verb."""
    main: Main = importlib.import_module(umbrella.VERBS[verb][0]).main
    return main


def run(case: Case, folder: Path, main: Main, limit_s: float = LIMIT_S) -> Outcome:
    """Make the case's files in `folder`, run it, and judge."""
    if case.make:
        case.make(folder)
    before = facts(folder)
    log = folder.with_suffix(".log")
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(case, folder, log, main)
    code, memory, stopped = _wait(pid, start + limit_s)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # whatever it started and left
    said = log.read_text(errors="replace")
    verdict = stopped or judge(case, code, said, before, facts(folder))
    return Outcome(case, verdict, code, said, time.monotonic() - start, memory)


def judge(case: Case, code: int, said: str, before: Facts, after: Facts) -> str:
    """The verdict on a run that ended by itself."""
    if "Traceback (most recent call last)" in said or code < 0:
        return "traceback"
    if any(after.get(name) != fact for name, fact in before.items()):
        return "input changed"
    new = set(after) - set(before)
    if any(Path(name).name.startswith(".") for name in new) or (code == 2 and new and case.stdout == "file"):
        return "leftover"
    if code == 0:
        return "exit 0" if case.expected == REFUSED else "right"
    if case.expected == RIGHT:
        return "not handled"
    return "refused" if said.strip() and len(said) < MOST_SAID else "no sentence"


def facts(folder: Path) -> Facts:
    """Of every file under a folder: a digest, or of a large one what would change if it were written."""
    found: Facts = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            if not os.path.exists(path):
                continue  # a link to nowhere holds nothing that could be lost
            status = os.lstat(path)
            fact = f"{status.st_mode} {status.st_size} {status.st_ino} {status.st_mtime_ns}"
            if status.st_size <= SMALL_BYTES and os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    fact = hashlib.sha256(file.read()).hexdigest()
            found[os.path.relpath(path, folder)] = fact
    return found


def _child(case: Case, folder: Path, log: Path, main: Main) -> None:
    """Never returns."""
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
        _redirect(case, log)
        main(list(case.line[1:]))
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _redirect(case: Case, log: Path) -> None:
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    for stream, number in ((case.stdin, 0), (case.stdout, 1)):
        flags = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY
        if stream == "closed":
            os.close(number)
        elif stream == "broken":
            reader, writer = os.pipe()
            os.close(reader)
            os.dup2(writer, number)
        else:
            name = {"full": "/dev/full", "null": "/dev/null"}.get(stream, f"{log}.out")
            os.dup2(os.open(name, flags), number)
    sys.stdin = os.fdopen(0, closefd=False) if case.stdin != "closed" else None  # type: ignore[assignment]
    sys.stdout = os.fdopen(1, "w", closefd=False) if case.stdout != "closed" else None  # type: ignore[assignment]
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def _wait(pid: int, until: float) -> tuple[int, int, str]:
    """(exit code, peak memory in bytes, "hang" or "memory" where it had to be stopped)."""
    peak, stopped = 0, ""
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), max(peak, usage.ru_maxrss << 10), stopped
        with suppress(OSError, ValueError, IndexError):
            peak = max(peak, int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize())
        if not stopped and (time.monotonic() > until or peak > MEMORY_BYTES):
            stopped = "memory" if peak > MEMORY_BYTES else "hang"
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        select.select([], [], [], POLL_S)
