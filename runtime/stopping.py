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


@contextmanager
def signals_raise() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into Stopped within, in the main thread; a second ends the process."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def stop(number: int, _frame: object) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        raise Stopped(number)

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    """From here to the end of `signals_raise`: what is left to do takes moments, and is to be finished."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
