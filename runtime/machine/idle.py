"""Waits until no thread of this process runs, so that what is timed next has the cores to itself."""

from __future__ import annotations

import time

#: How long threads may spin after their work is done; ONNX Runtime's spin for 100 ms after a call.
MOST_SPINNING_S = 0.5
LOOK_S = 0.005  # how long to look at a time
BUSY = 0.1  # of a core, over a look


def await_idle() -> None:
    """Return once this process has used next to no processor time for a moment; at the latest after 0.5 s."""
    end_s = time.perf_counter() + MOST_SPINNING_S
    used_s = LOOK_S
    while used_s > BUSY * LOOK_S and time.perf_counter() < end_s:
        before_s = time.process_time()
        time.sleep(LOOK_S)
        used_s = time.process_time() - before_s
