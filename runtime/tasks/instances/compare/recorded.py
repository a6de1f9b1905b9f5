"""An answer as arrays for a bundle, and back. A bundle comes from elsewhere, and may hold anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract, Tensor
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.answers import Answer
from maskrt.runtime.tasks.arrays import Rule, check_array
from maskrt.runtime.tasks.instances.decode import postprocess
from maskrt.runtime.tasks.instances.instances import MaskCrop
from maskrt.runtime.tasks.instances.options import COEFFICIENTS, MASKS, PROTOTYPES

MADE_OF = (MASKS, COEFFICIENTS, PROTOTYPES)  # masks, which a bundle holds pasted


def pack(answer: Answer) -> dict[str, NDArray]:
    """The pasted masks, bit by bit one after the other, and the outputs' rows that hold something."""
    arrays: dict[str, NDArray] = {}
    if (crops := answer.result.crops) is not None:
        frames = [(c.top, c.left, *c.bits.shape) for c in crops]
        bits = np.concatenate([np.zeros(0, bool), *(c.bits.ravel() for c in crops)])
        arrays["crop_frames"] = np.array(frames, np.int32).reshape(-1, 4)
        arrays["crop_bits"] = np.packbits(bits)
    count = int(answer.outputs["num_detections"][0])
    counted = {tensor.name for tensor in answer.contract.outputs if tensor.counted_by}
    for key, value in answer.outputs.items():
        arrays[key] = value[:, :count] if key in counted else value
    return arrays


def unpack(arrays: Mapping[str, NDArray], batch: Batch, contract: Contract) -> Answer:
    """Make an answer of the arrays of `pack`. Raises ValueError as `check_arrays` does."""
    check_arrays(arrays, contract)
    outputs = Outputs({key: arrays[key] for key in contract.output_names})
    without = Outputs({key: values for key, values in outputs.items() if key not in MADE_OF})
    (found,) = postprocess(without, batch, contract)
    return Answer(contract, outputs, dataclasses.replace(found, crops=_crops(arrays)))


def _crops(arrays: Mapping[str, Any]) -> tuple[MaskCrop, ...] | None:
    if "crop_bits" not in arrays:
        return None
    bits = np.unpackbits(arrays["crop_bits"]).astype(bool)
    crops, start = [], 0
    for top, left, height, width in arrays["crop_frames"].tolist():
        crops.append(MaskCrop(top, left, bits[start : start + height * width].reshape(height, width)))
        start += height * width
    return tuple(crops)


def check_arrays(arrays: Mapping[str, NDArray], contract: Contract) -> None:
    """Raise ValueError for the first array that is missing, or of another shape, type or range."""
    check_array("num_detections", arrays, ((1,), "iu"))
    count = int(arrays["num_detections"][0])
    if not 0 <= count <= contract.options.max_detections:
        raise ValueError(f"num_detections is {count}, expected 0 to {contract.options.max_detections}")
    rules: dict[str, Rule] = {tensor.name: _rule(tensor, count) for tensor in contract.outputs[1:]}
    for name, rule in rules.items():
        check_array(name, arrays, rule)
    labels = arrays["labels"]
    if ((labels < 0) | (labels >= len(contract.classes))).any():
        raise ValueError(f"labels go to {labels.max()}, of {len(contract.classes)} classes")
    if "crop_bits" in arrays:
        check_array("crop_frames", arrays, ((count, 4), "i"))
        check_array("crop_bits", arrays, ((None,), "u"))
        frames: Any = arrays["crop_frames"].astype(np.int64)
        bits = int((frames[:, 2] * frames[:, 3]).sum())
        if (
            (frames < 0).any()
            or arrays["crop_bits"].dtype != np.uint8
            or -(-bits // 8) != len(arrays["crop_bits"])
        ):
            raise ValueError(f"crop_bits holds {8 * len(arrays['crop_bits'])} pixels, its frames {bits}")


def _rule(tensor: Tensor, count: int) -> Rule:
    """What an output of one image must be, with as many rows as were found."""
    axes = [1, count, *tensor.axes[2:]] if tensor.counted_by else [1, *tensor.axes[1:]]
    shape = tuple(axis if isinstance(axis, int) else None for axis in axes)
    return shape, "f" if tensor.dtype.startswith("float") else "iu"
