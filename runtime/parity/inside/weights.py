"""The constants of a file, held to those of its checkpoint: what must agree whatever the images show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

#: Smallest signal-to-noise ratio of a constant stored in float: half rounds by 2^-12 of a value on average.
LEAST_DB = {"fp32": 100.0, "fp16": 60.0}
RELATED_DB = 6.0  # of constants without a known name: less is another layer's
RELATED_VALUES, EQUAL_DB = 64, 60.0  # of fewer values, or of a vector, only an equal one is surely the same
HALF_STEP = 0.56  # what rounding to a step leaves at most, of a weight that was rounded to half before
CLIPPED = 127.5  # steps: what lies beyond may have been clipped
SHOWN = 3


class Weight(Protocol):
    """A constant of a file; see maskrt.export.examine.Weight."""

    @property
    def name(self) -> str:
        """Of the layer, as the file has it."""

    @property
    def values(self) -> NDArray[np.float32]:
        """As its layer computes with them."""

    @property
    def precision(self) -> str:
        """As it is stored."""

    @property
    def step(self) -> NDArray[np.float32] | None:
        """Of eight bits, of the values' shape."""


def weight_faults(
    expected: Mapping[str, NDArray[np.float32]], found: Sequence[Weight]
) -> tuple[dict[str, str], list[str]]:
    """By the checkpoint's name of a constant what is wrong with the file's, and the names that were held.

    Files that were made again have other names: there a constant is the one of its shape that is nearest.
    What has no counterpart (a tool may have folded it into another) is neither.
    """
    by_name = {weight.name: weight for weight in found}
    by_shape: dict[tuple[int, ...], list[Weight]] = {}  # without axes of one
    for one in found:
        by_shape.setdefault(_sides(one.values), []).append(one)
    faults, held = {}, []
    for name, values in expected.items():
        weight: Weight | None = by_name.get(name)
        if weight is None or weight.values.size != values.size:
            weight = _nearest(values, by_shape)
        if weight is None:
            if not values.any():  # nothing to hold: an exporter leaves a bias of zeros out
                held.append(name)
            continue
        held.append(name)
        if fault := _fault(values, _like(weight.values, values), weight):
            faults[name] = fault
    return faults, held


def _nearest(values: NDArray, by_shape: Mapping[tuple[int, ...], list[Weight]]) -> Weight | None:
    """The constant that is surely this one: of its shape, or transposed, and near."""
    least_db = RELATED_DB if values.ndim >= 2 and values.size >= RELATED_VALUES else EQUAL_DB
    same = [*by_shape.get(_sides(values), [])]
    same += by_shape.get(_sides(values)[::-1], []) if values.ndim == 2 else []
    best = max(same, key=lambda one: _snr_db(values, _like(one.values, values)), default=None)
    if best is None or _snr_db(values, _like(best.values, values)) < least_db:
        return None
    return best


def _sides(values: NDArray) -> tuple[int, ...]:
    return tuple(side for side in values.shape if side != 1)


def _like(values: NDArray, expected: NDArray) -> NDArray:
    """In the shape that is expected."""
    if values.shape == expected.shape[::-1] and values.shape != expected.shape:
        return values.T
    return values.reshape(expected.shape)


def _fault(expected: NDArray, found: NDArray, weight: Weight) -> str:
    if not np.isfinite(found).all():
        return f"{np.count_nonzero(~np.isfinite(found))} values are NaN or infinite"
    if weight.step is not None:
        step = _like(np.asarray(weight.step), expected)
        inside = np.abs(expected) <= CLIPPED * step
        off = np.abs(found - expected)[inside] / step[inside]
        wrong = np.count_nonzero(off > HALF_STEP)
        return f"{wrong} of {off.size} values are not rounded to the nearest of 8 bits" if wrong else ""
    snr_db = _snr_db(expected, found)
    if snr_db >= LEAST_DB[weight.precision]:
        return ""
    distinct = len(np.unique(found))
    few = f", and only {distinct} distinct values" if distinct <= 256 < found.size / 4 else ""
    ratio = float(np.vdot(found, expected) / max(float(np.vdot(expected, expected)), 1e-30))
    scaled = "" if _snr_db(expected * ratio, found) < 60 else f": {ratio:.4g} times the checkpoint's"
    least_db = LEAST_DB[weight.precision]
    return f"SNR {snr_db:.0f} dB where {weight.precision} has {least_db:g} dB at least{scaled}{few}"


def _snr_db(expected: NDArray, found: NDArray) -> float:
    noise = float(np.square(found - expected, dtype=np.float64).sum())
    signal = float(np.square(expected, dtype=np.float64).sum())
    if not noise:
        return 200.0
    return 10 * np.log10(signal / noise) if signal else -200.0
