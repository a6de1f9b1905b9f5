"""Ctrl-C and SIGTERM, as an exception in the main thread."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """SIGINT (Ctrl-C) or SIGTERM; no ordinary `except` may take it for something else."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number  # as a shell says of a program that a signal ended


class Signals:
    """What `signals_raise` gives: a way to hold a signal back for a moment."""

    def __init__(self) -> None:
        self._held = False
        self._came: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, a signal waits: `Stopped` is raised at the end, when what is inside is done as a whole."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._came is not None:
            raise Stopped(self._came)

    def stop(self, number: int, _frame: object) -> None:
        """Raise Stopped, at once or when `held` ends; the next signal ends the process."""
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self._came = number
        if not self._held:
            raise Stopped(number)


@contextmanager
def signals_raise() -> Iterator[Signals]:
    """Turn the first SIGINT or SIGTERM into Stopped within, in the main thread; a second ends the process."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signals = Signals()
    for number in SIGNALS:
        signal.signal(number, signals.stop)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    """From here to the end of `signals_raise`: what is left to do takes moments, and is to be finished."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
