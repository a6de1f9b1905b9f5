"""A call that leaves a thread spinning, as those of ONNX Runtime do, and one that looks whether any spins."""

from __future__ import annotations

import threading
import time

SPINNING_S = 0.05


class Spinning:
    """seen: of each look, whether a thread of a call before it still ran."""

    def __init__(self) -> None:
        self.seen: list[bool] = []
        self._threads: list[threading.Thread] = []

    def leave_a_thread(self, *_: object) -> None:
        self._threads.append(threading.Thread(target=_spin))
        self._threads[-1].start()

    def look(self, *_: object) -> None:
        self.seen.append(any(thread.is_alive() for thread in self._threads))


def _spin() -> None:
    end_s = time.process_time() + SPINNING_S
    while time.process_time() < end_s:
        pass
