"""An answer in a bundle is the answer that was recorded; arrays that no model could give are refused by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.tasks.answers import Answer
from maskrt.runtime.tasks.instances.compare.recorded import check_arrays, pack, unpack
from maskrt.runtime.tasks.instances.decode import postprocess
from tests.runtime.conftest import MASK_SIZE, ROWS, make_contract

CONTRACT = make_contract()
BATCH = preprocess([np.full((48, 72, 3), 90, np.uint8)], CONTRACT.canvas)
FOUND = 2


def outputs() -> Outputs:
    """Two instances, and rows that hold nothing."""
    rng = np.random.default_rng(0)
    boxes = np.zeros((1, ROWS, 4), np.float32)
    boxes[0, :FOUND] = [[4, 6, 40, 44], [30, 10, 80, 60]]
    return Outputs(
        num_detections=np.array([FOUND], np.int32),
        boxes=boxes,
        scores=np.linspace(0.9, 0.1, ROWS, dtype=np.float32)[None],
        labels=np.zeros((1, ROWS), np.int32),
        masks=rng.random((1, ROWS, MASK_SIZE, MASK_SIZE), np.float32),
    )


def packed() -> dict[str, NDArray]:
    """What a bundle holds of them."""
    (found,) = postprocess(outputs(), BATCH, CONTRACT)
    return pack(Answer(CONTRACT, outputs(), found))


def test_the_masks_come_back_pixel_by_pixel() -> None:
    (found,) = postprocess(outputs(), BATCH, CONTRACT)
    back = unpack(packed(), BATCH, CONTRACT).result
    assert len(back) == FOUND
    for before, after in zip(found.crops, back.crops, strict=True):
        assert (before.top, before.left) == (after.top, after.left)
        assert np.array_equal(before.bits, after.bits)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.pop("scores"), "scores is missing"),
        (lambda a: a["num_detections"].fill(ROWS + 1), f"num_detections is {ROWS + 1}, expected 0 to {ROWS}"),
        (lambda a: a["num_detections"].fill(-1), "num_detections is -1"),
        (lambda a: a["labels"].fill(len(CONTRACT.classes)), r"labels go to \d+, of \d+ classes"),
        (lambda a: a["labels"].__setitem__((0, 0), -1), "labels go to"),
        (lambda a: a["boxes"].fill(np.nan), "boxes holds NaN or infinity"),
        (lambda a: a.update(crop_frames=a["crop_frames"][:1]), "crop_frames is int32"),
        (lambda a: a["crop_frames"].__setitem__((0, 0), -1), "crop_bits holds"),
        (lambda a: a.update(crop_bits=a["crop_bits"][:-1]), r"crop_bits holds \d+ pixels, its frames"),
        (lambda a: a.update(crop_bits=a["crop_bits"].astype(np.uint16)), "crop_bits holds"),
    ],
)
def test_what_no_model_gives_is_refused(change: Callable[[dict[str, NDArray]], object], said: str) -> None:
    arrays = {name: array.copy() for name, array in packed().items()}
    check_arrays(arrays, CONTRACT)
    change(arrays)
    with pytest.raises(ValueError, match=said):
        check_arrays(arrays, CONTRACT)
