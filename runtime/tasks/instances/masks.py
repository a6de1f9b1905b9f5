"""The masks of an image that its model gives over the whole canvas, or as prototypes and coefficients."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Contract
from maskrt.runtime.tasks.instances.assemble import Frame, Window, cut_out, put_together
from maskrt.runtime.tasks.instances.detections import Detections
from maskrt.runtime.tasks.instances.instances import MaskCrop


class CanvasMasks:
    """The masks of one image of a batch.

    on_canvas, size: (height, width) of the picture on the canvas, and of the image whose pixels are wanted.
    """

    def __init__(
        self,
        found: Detections,
        row: int,
        contract: Contract,
        on_canvas: NDArray[np.float32],
        size: tuple[int, int],
    ) -> None:
        self._grid = contract.options.masks
        self._prototypes = None if found.prototypes is None else found.prototypes[row]
        of_rows = found.masks if found.coefficients is None else found.coefficients
        assert of_rows is not None
        self._of_rows = of_rows[row]
        cells = (of_rows if found.prototypes is None else found.prototypes).shape[2:]
        stretched = contract.canvas.placement == "stretch"
        a_canvas_px = [
            side / px if stretched else self._grid.times / self._grid.map_px
            for side, px in zip(cells, on_canvas.tolist(), strict=True)
        ]
        along_y, along_x = (
            cells_a_px * px / image_px
            for cells_a_px, px, image_px in zip(a_canvas_px, on_canvas.tolist(), size, strict=True)
        )
        self.frame = Frame((cells[0], cells[1]), (along_y, along_x), size)

    def pasted(self, rows: Iterable[int], boxes: NDArray[np.float32]) -> tuple[MaskCrop, ...]:
        """The masks of some rows, whose boxes are given in pixels of the image."""
        return tuple(
            self.frame.pasted(self._window(row, box), self._grid.threshold)
            for row, box in zip(rows, boxes, strict=True)
        )

    def probabilities(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The masks of the first rows, (D, h, w) over the whole canvas, to compare."""
        windows = [self._window(row, box).whole(*self.frame.cells) for row, box in enumerate(boxes)]
        return np.array(windows, np.float32).reshape(-1, *self.frame.cells)

    def paste(self, mask: NDArray[np.float32], box: NDArray[np.float32], threshold: float) -> MaskCrop:
        """One mask of `probabilities` in the image's pixels."""
        return self.frame.pasted(cut_out(mask, self.frame.in_cells(box)), threshold)

    def _window(self, row: int, box: NDArray[np.float32]) -> Window:
        cells = self.frame.in_cells(box)
        if self._prototypes is None:
            return cut_out(self._of_rows[row], cells)
        return put_together(self._prototypes, self._of_rows[row], cells)
