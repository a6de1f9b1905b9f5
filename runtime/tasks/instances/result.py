"""What was found in one image, and what can be made of it: pictures, and records of several formats."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import MissingDependencyError
from maskrt.runtime.files.atomic import write_png, write_text
from maskrt.runtime.files.kinds import COCO_RESULTS, LINES
from maskrt.runtime.tasks.instances.drawing.draw import draw
from maskrt.runtime.tasks.instances.instances import Instances, crop_mask
from maskrt.runtime.tasks.instances.rle import encode_crop
from maskrt.runtime.tasks.style import Style


class Result(Instances):
    """Detections of one image (the fields are those of `Instances`), and what users make of them."""

    def plot(
        self,
        *,
        color_by: str = "auto",
        labels: bool = True,
        boxes: bool | None = None,
        alpha: float = Style.alpha,
    ) -> NDArray[np.uint8]:
        """The picture with masks, contours and labels drawn in: (H, W, 3) uint8, RGB, a new array.

        How it looks: `tasks.style.Style`. Raises ValueError where the result has no picture.
        """
        if self.image is None:
            raise ValueError(
                "this result has no picture; draw on one with maskrt.runtime.tasks.instances.drawing.draw"
            )
        return draw(self.image, self, Style(color_by, labels, boxes, alpha))

    def save(self, path: str | os.PathLike[str], *, image_id: int | str | None = None) -> None:
        """Write the overlay (.png, .jpg or what else OpenCV writes), COCO results (.coco.json), or what
        `to_line` says (.json), atomically.

        image_id: in the JSON; default the file's name without its suffixes. Raises MaskrtError where the file
        cannot be written, ValueError for an overlay where the result has no picture.
        """
        path = Path(path)
        name = path.name.split(".")[0] if image_id is None else image_id
        if path.name.endswith(".coco.json"):
            write_text(path, json.dumps(self.to_coco(name)), COCO_RESULTS)
        elif path.suffix == ".json":
            write_text(path, json.dumps(self.to_line(name)), LINES)
        else:
            write_png(path, self.plot())

    def to_dataframe(self) -> Any:
        """A pandas.DataFrame, a row a detection: name, label, score, x1, y1, x2, y2, of masks also area_px.

        Raises MissingDependencyError without pandas, which maskrt does not need otherwise.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingDependencyError(
                "a data frame needs pandas, which is not installed here. Install it: pip install pandas"
            ) from error
        columns: dict[str, Any] = {"name": self.names, "label": self.labels, "score": self.scores}
        columns |= dict(zip(("x1", "y1", "x2", "y2"), self.boxes.T, strict=True))
        return pandas.DataFrame(columns if self.crops is None else {**columns, "area_px": self.areas_px})

    @cached_property
    def rles(self) -> list[dict[str, Any]]:
        """Compressed COCO RLE of each mask, encoded once however many outputs want it; none without masks."""
        return [
            encode_crop(crop.bits, crop.top, crop.left, self.height_px, self.width_px)
            for crop in self.crops or ()
        ]

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """COCO results: original category ids, boxes as x y width height, masks as compressed RLE, keypoints
        as x y and their score in the place of a visibility."""
        rows: list[dict[str, Any]] = []
        for box, score, label in zip(self.boxes, self.scores, self.labels, strict=True):
            x1, y1, x2, y2 = (float(v) for v in box)
            rows.append(
                {
                    "image_id": image_id,
                    "category_id": self.classes[label].id,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": float(score),
                }
            )
        if self.crops is not None:
            for row, rle in zip(rows, self.rles, strict=True):
                row["segmentation"] = rle
        if self.keypoints is not None:
            for row, points in zip(rows, self.keypoints, strict=True):
                row["keypoints"] = [float(value) for value in points.ravel()]
        return rows

    def to_line(self, image_id: int | str) -> dict[str, Any]:
        """What a line of `results.jsonl` says of it: its size in px, and COCO rows with the class's name."""
        rows = zip(self.to_coco(image_id), self.names, strict=True)
        detections = [{**row, "name": name} for row, name in rows]
        return {"width_px": self.width_px, "height_px": self.height_px, "detections": detections}

    def to_supervision(self) -> dict[str, Any]:
        """Keyword arguments of `supervision.Detections`: `sv.Detections(**result.to_supervision())`."""
        return {
            "xyxy": self.boxes,
            "mask": None if self.crops is None else self.masks,
            "confidence": self.scores,
            "class_id": self.labels.astype(int),
            "data": {"class_name": np.array(self.names, dtype=str)},
        }

    def to_supervision_keypoints(self) -> dict[str, Any]:
        """Keyword arguments of `supervision.KeyPoints`. Raises ValueError where the model gives none."""
        if self.keypoints is None:
            raise ValueError("this result has no keypoints: its model finds none (contract.options)")
        return {
            "xy": self.keypoints[:, :, :2],
            "keypoint_confidence": self.keypoints[:, :, 2],
            "detection_confidence": self.scores,
            "class_id": self.labels.astype(int),
            "data": {"class_name": np.array(self.names, dtype=str)},
        }

    @classmethod
    def from_supervision(
        cls, detections: Any, classes: tuple[Category, ...], size: tuple[int, int]
    ) -> Result:
        """A result out of a `supervision.Detections`; `size` is the image's (height, width) in px.

        Scores and labels it lacks are 1 and 0. Raises ValueError where its masks are of another size.
        """
        count = len(detections.xyxy)
        masks = None if detections.mask is None else np.asarray(detections.mask, bool)
        if masks is not None and masks.shape != (count, *size):
            raise ValueError(f"masks are {masks.shape}, expected {(count, *size)}")
        scores = np.ones(count) if detections.confidence is None else detections.confidence
        labels = np.zeros(count) if detections.class_id is None else detections.class_id
        order = np.argsort(-np.asarray(scores), kind="stable")
        return cls(
            height_px=size[0],
            width_px=size[1],
            boxes=np.asarray(detections.xyxy, np.float32)[order],
            scores=np.asarray(scores, np.float32)[order],
            labels=np.asarray(labels, np.int32)[order],
            classes=classes,
            crops=None if masks is None else tuple(crop_mask(masks[i]) for i in order),
        )
