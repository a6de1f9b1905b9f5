"""Arrays that come from elsewhere, and may be anything: what they must be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Rule = tuple[tuple[int | None, ...], str]  # shape, None for any; kinds of dtype, as numpy calls them


def check_array(name: str, arrays: Mapping[str, NDArray], rule: Rule) -> None:
    """Raise ValueError for an array that is missing, of another shape or kind, or holds NaN or infinity."""
    if name not in arrays:
        raise ValueError(f"{name} is missing")
    array, (shape, kinds) = arrays[name], rule
    same = array.ndim == len(shape) and all(
        want in (None, have) for have, want in zip(array.shape, shape, strict=True)
    )
    if not same or array.dtype.kind not in kinds:
        expected = " x ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(f"{name} is {array.dtype} {array.shape}, expected {expected} of kind {kinds!r}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")
