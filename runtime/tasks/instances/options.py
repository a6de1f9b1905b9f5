"""The task "instances" in a contract: its options, and the outputs that they promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from maskrt.runtime.contract.keypoints import Keypoints
from maskrt.runtime.contract.options import ROWS, Options
from maskrt.runtime.contract.sections import Canvas
from maskrt.runtime.contract.tensors import BATCH, Tensor, map_axes
from maskrt.runtime.rules import number, one_of, whole
from maskrt.runtime.structs import Format, wrong

NUM_DETECTIONS, BOXES, SCORES, LABELS = "num_detections", "boxes", "scores", "labels"
MASKS, KEYPOINTS = "masks", "keypoints"
COEFFICIENTS, PROTOTYPES = "coefficients", "prototypes"
#: The outputs of every model.
DETECTED = (NUM_DETECTIONS, BOXES, SCORES, LABELS)
MOST_ROWS, MOST_MASK_SIDE, MOST_PROTOTYPES = 1 << 16, 1 << 10, 1 << 12
TORCHVISION, PIXEL_MIDDLES, MATTERPORT, TRUNCATED = PASTES = (
    *("torchvision", "pixel_middles", "matterport", "truncated"),
)
Share = Annotated[float, number(0, 1)]


@dataclass(frozen=True)
class BoxGrid:
    """Masks as `size` × `size` probabilities over each object's box. A pixel belongs to the object above
    `threshold`. paste: by whose rule they come to the image's pixels (paste.py)."""

    size: Annotated[int, whole(1, MOST_MASK_SIDE)]
    threshold: Share
    paste: Annotated[str, one_of(PASTES)] = TORCHVISION

    @property
    def described(self) -> str:
        """For a model card."""
        return f"{self.size} × {self.size} a box, pasted by the rule `{self.paste}`"


@dataclass(frozen=True)
class CanvasGrid:
    """Masks as probabilities over the whole canvas, 0 outside of each object's box: `times` cells along a
    side for `map_px` pixels of the canvas or a part of them. A pixel belongs to the object above
    `threshold`."""

    map_px: Annotated[int, whole(1, MOST_MASK_SIDE)]
    times: Annotated[int, whole(1, MOST_MASK_SIDE)]
    threshold: Share

    @property
    def described(self) -> str:
        """For a model card."""
        return f"over the whole canvas, {self.map_px / self.times:g} px a cell"


@dataclass(frozen=True)
class Prototypes(CanvasGrid):
    """Masks that the host puts together, of `count` maps that an image's objects share and of what each
    takes of them (runtime/tasks/instances/assemble.py). The maps' cells are those of a CanvasGrid."""

    count: Annotated[int, whole(1, MOST_PROTOTYPES)]

    @property
    def described(self) -> str:
        """For a model card."""
        return f"of {self.count} prototypes, {super().described}"


@dataclass(frozen=True)
class InstancesOptions(Options):
    """Objects, each with a class, a score and a box."""

    FORMAT: ClassVar[Format] = Format(1)
    TASK: ClassVar[str] = "instances"
    CHOSEN_AT_EXPORT: ClassVar[tuple[str, ...]] = ("rows",)
    score_threshold: Share  # detections at or below it were dropped inside the graph
    nms_threshold: Share  # IoU
    max_detections: Annotated[int, whole(1, MOST_ROWS)]  # D, rows of every output
    rows: Annotated[str, one_of(ROWS)]  # of what follows the boxes: all D, or only those detected
    masks: BoxGrid | CanvasGrid | Prototypes | None = None
    keypoints: Keypoints | None = None

    @property
    def detections(self) -> str:
        """The mask head may run on the rows found alone."""
        return self.rows

    def check(self, classes: int) -> None:
        """Raise FieldError for a line of the skeleton between points that there are not."""
        count, skeleton = (len(k.names), k.skeleton) if (k := self.keypoints) else (0, ())
        for pair in skeleton:
            if not all(0 <= place < count for place in pair):
                at = f"{self.TASK}.keypoints.skeleton"
                raise wrong(at, list(pair), "two places in the list of names")

    def tensors(self, batch: int | None, canvas: Canvas, classes: int) -> tuple[Tensor, ...]:
        """The number of objects of each image, then `max_detections` rows of all that is said of each; last
        what an image's objects share."""
        images, rows, masks = batch or BATCH, self.max_detections, self.masks
        shapes: dict[str, tuple[int | str, ...]] = {BOXES: (4,), SCORES: (), LABELS: ()}
        if isinstance(masks, BoxGrid):
            shapes[MASKS] = (masks.size, masks.size)
        elif isinstance(masks, Prototypes):
            shapes[COEFFICIENTS] = (masks.count,)
        elif masks:
            shapes[MASKS] = map_axes(canvas, masks.map_px, masks.times)
        if points := self.keypoints:
            shapes[KEYPOINTS] = (len(points.names), 3)
        count = Tensor(NUM_DETECTIONS, "int32", (images,))
        counted = (
            Tensor(name, "int32" if name == LABELS else "float32", (images, rows, *shape), NUM_DETECTIONS)
            for name, shape in shapes.items()
        )
        if not isinstance(masks, Prototypes):
            return count, *counted
        cells = map_axes(canvas, masks.map_px, masks.times)
        return count, *counted, Tensor(PROTOTYPES, "float32", (images, masks.count, *cells))


OPTIONS = InstancesOptions
