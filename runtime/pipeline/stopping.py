"""Turns Ctrl-C and SIGTERM into an exception of the main thread."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """SIGINT (Ctrl-C) or SIGTERM. A BaseException, so that no ordinary `except` catches it."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number  # as a shell says of a program that a signal ended


class Signals:
    """Handle of `signals_raise`: it can defer a signal for a moment."""

    def __init__(self) -> None:
        self._held = False
        self._came: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Defer a signal: `Stopped` is raised at the end of the block, so that its work is complete."""
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
    """Ignore signals to the end of `signals_raise`: the work that is left takes moments and must be
    completed."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
