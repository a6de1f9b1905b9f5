"""What was found in one image, and what can be made of it: pictures, files, areas."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.files.atomic import write_png, write_text
from maskrt.runtime.files.kinds import LINES
from maskrt.runtime.tasks.semantic.class_map import ClassMap
from maskrt.runtime.tasks.semantic.drawing import draw, splash
from maskrt.runtime.tasks.semantic.label_png import write_ids, write_labels
from maskrt.runtime.tasks.style import Style


class SemanticResult(ClassMap):
    """The class map of one image (the fields are those of `ClassMap`), and what users make of it."""

    def plot(self, *, labels: bool = True, alpha: float = Style.alpha) -> NDArray[np.uint8]:
        """The picture in its classes' colours, with a legend: (H, W, 3) uint8 RGB, a new array.

        labels: whether there is a legend. Raises ValueError where the result has no picture.
        """
        return draw(self._picture, self, Style(labels=labels, alpha=alpha))

    def splash(self) -> NDArray[np.uint8]:
        """The picture in grey but for the classes shown. Raises ValueError where the result has none."""
        return splash(self._picture, self)

    @property
    def _picture(self) -> NDArray[np.uint8]:
        if self.image is None:
            raise ValueError(
                "this result has no picture; draw on one with maskrt.runtime.tasks.semantic.drawing.draw"
            )
        return self.image

    def save(self, path: str | os.PathLike[str], *, image_id: int | str | None = None) -> None:
        """Write the class map as a PNG with a palette (.labels.png), or as one of the data set's own ids
        (.ids.png); what `to_line` says (.json); or the overlay (.png, .jpg), atomically.

        image_id: in the JSON; default the file's name without its suffixes. Raises MaskrtError where the file
        cannot be written, ValueError for an overlay where the result has no picture.
        """
        path = Path(path)
        if path.name.endswith(".labels.png"):
            write_labels(path, self.labels, len(self.classes))
        elif path.name.endswith(".ids.png"):
            write_ids(path, self.labels, self.classes)
        elif path.suffix == ".json":
            name = path.name.split(".")[0] if image_id is None else image_id
            write_text(path, json.dumps(self.to_line(name)), LINES)
        else:
            write_png(path, self.plot())

    def to_line(self, image_id: int | str) -> dict[str, Any]:
        """What a line of `results.jsonl` says of it: its size in px, and the classes found."""
        return {
            "image_id": image_id,
            "width_px": self.width_px,
            "height_px": self.height_px,
            "classes": [
                {
                    "category_id": self.classes[one.label].id,
                    "name": one.name,
                    "area_px": one.area_px,
                    "share": round(one.share, 6),
                }
                for one in self.found
            ],
        }
