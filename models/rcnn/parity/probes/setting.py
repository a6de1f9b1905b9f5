"""What made inputs are made for: the shapes of a model's parts, and the answers of a probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.models.parts.layout import Layout, layout_of
from maskrt.models.rcnn.layout import BOX_FEATURES, PROPOSALS
from maskrt.runtime.contract import CANVAS, IMAGE_SIZES, IMAGES, Contract
from maskrt.runtime.parity.inside.knowledge import Facts
from maskrt.runtime.parity.inside.parts import GraphParts

CANVAS_PX = 512  # a side, of a model that takes any size
STRIDE_OF_C5_PX = 32  # maps of a larger stride are pooled from it


@dataclass(frozen=True)
class Setting:
    """The shapes of a model: maps by level, and rows.

    cells: the reference's anchors (A, 4) a level, around the position 0, 0. proposals: P; detections: D.
    """

    contract: Contract
    cells: Mapping[str, NDArray[np.float32]]
    proposals: int
    channels: int

    @classmethod
    def of(cls, contract: Contract, facts: Facts, parts: GraphParts) -> Setting:
        """Of a file in parts, beside its checkpoint."""
        channels = parts.side(BOX_FEATURES, 1) or int(contract.config["fpn_channels"])
        proposals = parts.side(PROPOSALS, 1) or proposals_of(contract)
        return cls(contract, facts.more, proposals, channels)

    @property
    def layout(self) -> Layout:
        """The model's maps."""
        return layout_of(self.contract.config)

    @property
    def classes(self) -> int:
        """Without the background."""
        return len(self.contract.classes)

    @property
    def detections(self) -> int:
        """D, the rows that are found at most."""
        return self.contract.options.max_detections

    @property
    def canvas_px(self) -> tuple[int, int]:
        """Height and width."""
        canvas = self.contract.canvas
        return canvas.height_px or CANVAS_PX, canvas.width_px or CANVAS_PX

    def map_px(self, level: str) -> tuple[int, int]:
        """Height and width of a level's map, in its cells."""
        stride = self.layout.strides_px[level]
        rows, columns = (side // min(stride, STRIDE_OF_C5_PX) for side in self.canvas_px)
        halved = max(1, stride // STRIDE_OF_C5_PX)  # by pooling with a kernel of one cell
        return (rows - 1) // halved + 1, (columns - 1) // halved + 1

    def stride_px(self, level: str) -> tuple[int, int]:
        """From one anchor to the next, down and across, as torchvision has it: the canvas over the map."""
        (height, width), (rows, columns) = self.canvas_px, self.map_px(level)
        return height // rows, width // columns

    def canvas(self, valid_px: tuple[int, int] | None = None) -> dict[str, NDArray]:
        """What any part may take: the picture, blank, and the size of its valid area."""
        height, width = self.canvas_px
        sizes = np.array([valid_px or (height, width)], np.float32)
        return {
            IMAGES: np.zeros((1, height, width, 3), self.contract.canvas.dtype),
            IMAGE_SIZES: sizes,
            CANVAS: np.zeros((1, 3, height, width), np.float32),
        }


def proposals_of(contract: Contract) -> int:
    """P, the rows of proposals of an image, as the model was built."""
    return int(contract.config["rpn_post_nms_test"])


def places(count: int, height_px: int, width_px: int) -> NDArray[np.float64]:
    """(count, 2): x, y spread evenly over an area, each in the middle of a field of its own."""
    columns = int(np.ceil(np.sqrt(count * width_px / height_px)))
    rows = int(np.ceil(count / columns))
    x, y = np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
    return np.stack([x.ravel() * width_px, y.ravel() * height_px], axis=1)[:count]


def around(centres: NDArray, width_px: NDArray | float, height_px: NDArray | float) -> NDArray[np.float64]:
    """(R, 4) boxes of these sizes around centres (R, 2)."""
    half = np.stack(np.broadcast_arrays(width_px, height_px), axis=-1) / 2 * np.ones_like(centres)
    return np.hstack([centres - half, centres + half])


def sizes_of(boxes: NDArray) -> NDArray:
    """(R, 2): width and height of boxes (R, 4)."""
    return boxes[:, 2:] - boxes[:, :2]


def centres_of(boxes: NDArray) -> NDArray:
    """(R, 2): x and y of the middle of boxes (R, 4)."""
    return (boxes[:, 2:] + boxes[:, :2]) / 2


def there(wanted: NDArray, found: NDArray, within_px: float = 0.05) -> NDArray[np.bool_]:
    """Which of the boxes wanted (R, 4) are among those found (F, 4)."""
    if not len(found):
        return np.zeros(len(wanted), bool)
    return np.abs(wanted[:, None] - found[None]).max(axis=2).min(axis=1) <= within_px
