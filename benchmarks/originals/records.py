"""What the original implementations have for keys and find on a picture, kept by
`python -m benchmarks.foreign_checkpoints CASE --record benchmarks/originals/records`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.samples import scene
from maskrt.runtime.backends.open import Outputs
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.kinds import OWN_NAME

FOLDER = Path(__file__).parent / "records"
# As large as it is laid on the canvas, and with sides that are no multiples of 32: P6 of the padded canvas,
# 256 x 288, is five positions wide, 57 px apart by torchvision's reckoning and 64 by everyone else's.
HEIGHT_PX, WIDTH_PX = 230, 287
MASKS = 10  # of the detections, best first, that are kept: enough to tell, and little to store


@dataclasses.dataclass(frozen=True)
class Record:
    """keys: (K,) of the original's state dict, "name 64x3x7x7" each. boxes: (D, 4); scores, labels: (D,);
    masks: (MASKS, M, M) float16."""

    keys: NDArray[np.str_]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]
    masks: NDArray[np.float16]


def picture() -> NDArray[np.uint8]:
    """(HEIGHT_PX, WIDTH_PX, 3)."""
    return np.ascontiguousarray(scene(1)[:HEIGHT_PX, :WIDTH_PX])


def at_its_size(config: Any) -> Any:
    """A model's configuration under which the picture is not resized."""
    return dataclasses.replace(config, min_size_px=HEIGHT_PX, max_size_px=2 * HEIGHT_PX)


def described(shapes: Mapping[str, Any]) -> list[str]:
    """Keys and shapes of a state dict as a Record has them, sorted."""
    return sorted(f"{key} {'x'.join(map(str, tensor.shape))}" for key, tensor in shapes.items())


def write(path: Path, weights: Mapping[str, Any], found: Outputs) -> None:
    """Keep a record of an original's own state dict and of what it finds on the picture."""
    count = int(found["num_detections"][0])
    record = Record(
        keys=np.array(described(weights)),
        boxes=found["boxes"][0, :count],
        scores=found["scores"][0, :count],
        labels=found["labels"][0, :count],
        masks=found["masks"][0, :MASKS].astype(np.float16),
    )
    with atomic_path(path, OWN_NAME) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **dataclasses.asdict(record))


def read(case: str) -> Record:
    """The record of a case of benchmarks.foreign_checkpoints."""
    with np.load(FOLDER / f"{case}.npz") as arrays:
        return Record(**arrays)
