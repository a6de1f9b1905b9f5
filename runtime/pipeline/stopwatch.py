"""Measures where the time of a run goes: milliseconds an image in each step, and a trace for Perfetto."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskrt.runtime.files.atomic import PendingFile
from maskrt.runtime.files.kinds import TRACE


class Spent(dict[str, tuple[float, int]]):
    """Seconds, and images, by step."""


class Stopwatch:
    """Adds up the time of steps; several threads may measure at once.

    trace: also write every measurement to this file, in the Trace Event Format that https://ui.perfetto.dev
    and chrome://tracing open ("Trace Event Format", Google, 2016: complete events, "ph": "X", and a thread's
    name as metadata, "M").
    """

    def __init__(self, trace: Path | None = None) -> None:
        self._start_s = time.perf_counter()
        self.spent = Spent()
        self._lock = threading.Lock()
        self._file = PendingFile(trace, TRACE) if trace else None
        self._stream = self._file.temporary.open("w", encoding="utf-8") if self._file else None
        self._threads: dict[int, int] = {}
        self._between = "[\n"

    @contextmanager
    def measure(self, stage: str, images: int = 1) -> Iterator[None]:
        """Measure the block as a step's work on so many images."""
        start_s = time.perf_counter()
        yield
        end_s = time.perf_counter()
        with self._lock:
            self._count(stage, end_s - start_s, images)
            if self._stream is not None:
                self._write(stage, start_s, end_s)

    def add(self, spent: Spent) -> None:
        """Add the measurements of another stopwatch."""
        with self._lock:
            for stage, (seconds, images) in spent.items():
                self._count(stage, seconds, images)

    def _count(self, stage: str, more_s: float, images: int) -> None:
        seconds, count = self.spent.get(stage, (0.0, 0))
        self.spent[stage] = seconds + more_s, count + images

    def _write(self, stage: str, start_s: float, end_s: float) -> None:
        ident = threading.get_ident()
        if ident not in self._threads:
            self._threads[ident] = len(self._threads) + 1
            self._write_event("M", "thread_name", args={"name": threading.current_thread().name})
        from_us, for_us = (start_s - self._start_s) * 1e6, (end_s - start_s) * 1e6
        self._write_event("X", stage, ts=from_us, dur=for_us)

    def _write_event(self, kind: str, name: str, **more: object) -> None:
        assert self._stream is not None
        thread = self._threads[threading.get_ident()]
        event = {"name": name, "ph": kind, "pid": os.getpid(), "tid": thread, **more}
        try:
            self._stream.write(self._between + json.dumps(event))
        except OSError as error:
            assert self._file is not None
            raise self._file.failed(error) from error
        self._between = ",\n"

    def per_image_ms(self) -> dict[str, float]:
        """Mean milliseconds an image by step, in the order in which steps were first measured."""
        return {stage: 1e3 * seconds / max(count, 1) for stage, (seconds, count) in self.spent.items()}

    def close(self) -> None:
        """Complete the trace file."""
        if self._stream is None or self._file is None:
            return
        try:
            self._stream.write("\n]\n" if self._threads else "[]\n")
            self._stream.close()
        except OSError as error:
            raise self._file.failed(error) from error
        self._file.keep()
        self._stream = None
