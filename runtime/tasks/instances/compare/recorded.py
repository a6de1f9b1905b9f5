"""What the arrays of an image in a bundle must be: it comes from elsewhere, and may be anything."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Contract

Rule = tuple[tuple[int | None, ...], str]  # shape, None for any; kinds of dtype, as numpy calls them


def check_arrays(arrays: dict[str, NDArray], contract: Contract) -> None:
    """Raise ValueError for the first array that is missing, or of another shape, type or range.

    arrays: of one image, by name, as maskrt.runtime.parity.bundle writes them; its stages are not looked at.
    """
    _check("num_detections", arrays, ((1,), "iu"))
    count = int(arrays["num_detections"][0])
    if not 0 <= count <= contract.instances.max_detections:
        raise ValueError(f"num_detections is {count}, expected 0 to {contract.instances.max_detections}")
    _check("images", arrays, ((1, None, None, 3), "uf"))
    _check("image_sizes", arrays, ((1, 2), "f"))
    height, width = arrays["images"].shape[1:3]
    if not ((arrays["image_sizes"] >= 1) & (arrays["image_sizes"] <= (height, width))).all():
        raise ValueError(f"image_sizes is {arrays['image_sizes'].tolist()}, on a canvas of {height}x{width}")
    grid, points = contract.instances.masks, contract.instances.keypoints
    side = grid.size if grid else None
    rules: dict[str, Rule] = {
        "boxes": ((1, count, 4), "f"),
        "scores": ((1, count), "f"),
        "labels": ((1, count), "iu"),
        "masks": ((1, count, side, side), "f"),
        "keypoints": ((1, count, len(points.names) if points else None, 3), "f"),
    }
    for name in contract.output_names[1:]:
        _check(name, arrays, rules[name])
    labels = arrays["labels"]
    if ((labels < 0) | (labels >= len(contract.classes))).any():
        raise ValueError(f"labels go to {labels.max()}, of {len(contract.classes)} classes")
    if "crop_bits" in arrays:
        _check("crop_frames", arrays, ((count, 4), "i"))
        _check("crop_bits", arrays, ((None,), "u"))
        frames: Any = arrays["crop_frames"].astype(np.int64)
        bits = int((frames[:, 2] * frames[:, 3]).sum())
        if (
            (frames < 0).any()
            or arrays["crop_bits"].dtype != np.uint8
            or -(-bits // 8) != len(arrays["crop_bits"])
        ):
            raise ValueError(f"crop_bits holds {8 * len(arrays['crop_bits'])} pixels, its frames {bits}")


def _check(name: str, arrays: dict[str, NDArray], rule: Rule) -> None:
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
