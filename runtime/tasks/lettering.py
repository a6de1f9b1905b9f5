"""Text in pictures, on a ground of its colour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.tasks.colours import Colour

FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Lettering:
    """Sizes of text in px, for a picture's scale (1 for 600 px on its shorter side)."""

    scale: float

    @property
    def size(self) -> float:
        """OpenCV's."""
        return 0.5 * self.scale

    @property
    def weight(self) -> int:
        """Thickness of the strokes."""
        return max(1, round(self.scale))

    @property
    def margin(self) -> int:
        """Around a text."""
        return max(1, round(2 * self.scale))

    def extent(self, text: str) -> tuple[int, int]:
        """(width, height) of a text's ground."""
        (width, height), descent = cv2.getTextSize(text, FONT, self.size, self.weight)
        return width + 2 * self.margin, height + descent + 2 * self.margin

    def write(self, canvas: NDArray[np.uint8], text: str, corner: tuple[int, int], ground: Colour) -> None:
        """Draw a text on its ground, whose upper left corner is given."""
        x, y = corner
        (width, ascent), descent = cv2.getTextSize(text, FONT, self.size, self.weight)
        end = x + width + 2 * self.margin, y + ascent + descent + 2 * self.margin
        cv2.rectangle(canvas, corner, end, ground, cv2.FILLED)
        # Rec. 601 luma decides whether black or white text is read more easily on the colour
        luma = 0.299 * ground[0] + 0.587 * ground[1] + 0.114 * ground[2]
        ink = (0, 0, 0) if luma > 128 else (255, 255, 255)
        start = x + self.margin, y + self.margin + ascent
        cv2.putText(canvas, text, start, FONT, self.size, ink, self.weight, cv2.LINE_AA)
