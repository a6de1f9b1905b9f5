"""An answer as arrays for a bundle, and back. A bundle comes from elsewhere, and may hold anything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.answers import Answer
from maskrt.runtime.tasks.arrays import Rule, check_array
from maskrt.runtime.tasks.semantic.decode import decode
from maskrt.runtime.tasks.semantic.options import MARGINS, SCORES, SEMANTIC

MOST = float(np.finfo(np.float16).max)


def pack(answer: Answer) -> dict[str, NDArray]:
    """The outputs; margins in half precision, which keeps small ones as exactly as large ones."""
    arrays = dict(answer.outputs)
    if MARGINS in arrays:
        arrays[MARGINS] = np.minimum(arrays[MARGINS], MOST).astype(np.float16)
    return arrays


def unpack(arrays: Mapping[str, NDArray], batch: Batch, contract: Contract) -> Answer:
    """Make an answer of the arrays of `pack`. Raises ValueError for one that cannot be of the contract."""
    height, width = batch.images.shape[1:3]
    rules: dict[str, Rule] = {
        SEMANTIC: ((1, height, width), "u"),
        SCORES: ((1, len(contract.classes), None, None), "f"),
        MARGINS: ((1, height, width), "f"),
    }
    names = [*contract.output_names, *([MARGINS] if MARGINS in arrays else [])]
    for name in names:
        check_array(name, arrays, rules[name])
    if int(arrays[SEMANTIC].max(initial=0)) >= len(contract.classes):
        raise ValueError(f"{SEMANTIC} goes to {arrays[SEMANTIC].max()}, of {len(contract.classes)} classes")
    outputs = Outputs({name: arrays[name] for name in names})
    if MARGINS in outputs:
        outputs[MARGINS] = outputs[MARGINS].astype(np.float32)
    (found,) = decode(outputs, batch, contract)
    return Answer(contract, outputs, found)
