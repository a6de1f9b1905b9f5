"""Measures the time of calls on the GPU: medians and 99th percentiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.open import Session
from maskrt.runtime.predictor import Predictor

WARM_UP, ROUNDS = 20, 200


@dataclass(frozen=True)
class Latency:
    """Of one call, in ms."""

    median_ms: float
    p99_ms: float


def measure(call: Callable[[], object]) -> Latency:
    """Time `ROUNDS` calls after `WARM_UP` others. A call must not return before its work is done."""
    times_ms = np.empty(WARM_UP + ROUNDS)
    for i in range(len(times_ms)):
        start = time.perf_counter()
        call()
        times_ms[i] = (time.perf_counter() - start) * 1e3
    return summarise(times_ms)


def summarise(times_ms: Sequence[float] | NDArray) -> Latency:
    """Of all times but the first `WARM_UP`."""
    median, p99 = np.quantile(times_ms[WARM_UP:], [0.5, 0.99])
    return Latency(float(median), float(p99))


def session_latencies(session: Session, images: NDArray, image_sizes: NDArray) -> dict[str, Latency]:
    """The network with its copies to and from the GPU; and from decoded image to masks, one image a call."""
    height, width = (int(side) for side in image_sizes[0])
    image = np.ascontiguousarray(images[0, :height, :width].astype(np.uint8))
    predictor = Predictor(session)
    canvas = session.empty_canvas(images.shape, images.dtype)  # as preprocessing has it
    canvas[:] = images
    return {
        "network": measure(lambda: session.infer(canvas, image_sizes)),
        "image to masks": measure(lambda: predictor(image, min_score=0.5)[0].crops),
    }
