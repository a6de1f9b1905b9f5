"""What goes into a model and what comes out: names, dtypes, axes, and the options of the task."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

from maskrt.runtime.contract.sections import MOST_SIZE_PX, Canvas
from maskrt.runtime.rules import number, one_of, whole
from maskrt.runtime.structs import Format, wrong

IMAGES, IMAGE_SIZES = "images", "image_sizes"
NUM_DETECTIONS, BOXES, SCORES, LABELS = "num_detections", "boxes", "scores", "labels"
MASKS, KEYPOINTS = "masks", "keypoints"
INPUT_NAMES = (IMAGES, IMAGE_SIZES)
DETECTED = (NUM_DETECTIONS, BOXES, SCORES, LABELS)
BATCH, HEIGHT, WIDTH = "batch", "height", "width"  # axes that vary

ROWS = ("fixed", "dynamic")  # of what follows the boxes: all D, or only those detected
MOST_IMAGES, MOST_ROWS, MOST_MASK_SIDE = 1 << 12, 1 << 16, 1 << 10
Share = Annotated[float, number(0, 1)]

SIDES, OTHER_SIDE = re.compile("left|right"), {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Tensor:
    """An input or an output. An axis is a number, or the name of what it varies with: "batch", or "height"
    and "width" of the canvas. counted_by: the output that says how many rows of each image are filled; the
    rest is zero."""

    name: str
    dtype: str
    axes: tuple[Annotated[int, whole(1, MOST_SIZE_PX)] | str, ...]
    counted_by: str | None = (
        None  # the output that says how many rows of each image are filled; the rest is 0
    )

    def shape(self, sides: dict[str, int]) -> tuple[int, ...]:
        """The shape where the axes that vary have these sizes."""
        return tuple(sides[axis] if isinstance(axis, str) else axis for axis in self.axes)


@dataclass(frozen=True)
class BoxGrid:
    """Masks as `size` × `size` probabilities over each object's box. A pixel belongs to the object above
    `threshold`."""

    size: Annotated[int, whole(1, MOST_MASK_SIDE)]
    threshold: Share


@dataclass(frozen=True)
class Keypoints:
    """The points of an object. names: in the order of the outputs; skeleton: pairs of points that a line
    joins, by their place in `names`, from 0."""

    names: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...]

    @property
    def mirrored(self) -> tuple[int, ...]:
        """For each point the one that it is in a mirror: of "left_eye" "right_eye", where there is one."""
        place = {name: number for number, name in enumerate(self.names)}
        others = (SIDES.sub(lambda side: OTHER_SIDE[side[0]], name) for name in self.names)
        return tuple(place.get(other, own) for own, other in enumerate(others))


def read_keypoints(names: list[str], skeleton: list[list[int]]) -> Keypoints:
    """Keypoints out of a checkpoint."""
    return Keypoints(tuple(names), tuple((a, b) for a, b in skeleton))


@dataclass(frozen=True)
class Instances:
    """Options of the task "instances": objects, each with a class, a score and a box."""

    FORMAT: ClassVar[Format] = Format(1)
    score_threshold: Share  # detections at or below it were dropped inside the graph
    nms_threshold: Share  # IoU
    max_detections: Annotated[int, whole(1, MOST_ROWS)]  # D, rows of every output
    rows: Annotated[str, one_of(ROWS)]
    masks: BoxGrid | None = None
    keypoints: Keypoints | None = None

    def check(self) -> None:
        """Raise FieldError for a line of the skeleton between points that there are not."""
        count, skeleton = (len(k.names), k.skeleton) if (k := self.keypoints) else (0, ())
        for pair in skeleton:
            if not all(0 <= place < count for place in pair):
                at = "instances.keypoints.skeleton"
                raise wrong(at, list(pair), "two places in the list of names")


def image_inputs(canvas: Canvas, batch: int | None) -> tuple[Tensor, ...]:
    """What every model takes: pictures on a canvas, and how much of it each covers. batch None: any."""
    images, height, width = batch or BATCH, canvas.height_px or HEIGHT, canvas.width_px or WIDTH
    return (
        Tensor(IMAGES, canvas.dtype, (images, height, width, 3)),
        Tensor(IMAGE_SIZES, "float32", (images, 2)),
    )


def instance_outputs(instances: Instances, batch: int | None) -> tuple[Tensor, ...]:
    """What a model of the task "instances" gives. batch None: any."""
    images, rows = batch or BATCH, instances.max_detections
    shapes: dict[str, tuple[int, ...]] = {BOXES: (4,), SCORES: (), LABELS: ()}
    if masks := instances.masks:
        shapes[MASKS] = (masks.size, masks.size)
    if points := instances.keypoints:
        shapes[KEYPOINTS] = (len(points.names), 3)
    count = Tensor(NUM_DETECTIONS, "int32", (images,))
    return count, *(
        Tensor(name, "int32" if name == LABELS else "float32", (images, rows, *shape), NUM_DETECTIONS)
        for name, shape in shapes.items()
    )


def check_tensors(side: str, found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    """Raise FieldError for the first tensor that is not as the contract's other fields have it. side:
    "inputs" or "outputs"."""
    names, wanted = [tensor.name for tensor in found], [tensor.name for tensor in expected]
    if names != wanted:
        raise wrong(side, names, f"tensors named {', '.join(wanted)}")
    for index, (have, want) in enumerate(zip(found, expected, strict=True)):
        if have.dtype != want.dtype:
            raise wrong(f"{side}[{index}].dtype", have.dtype, f"{want.dtype!r}, of {want.name!r}")
        if have.counted_by != want.counted_by:
            raise wrong(f"{side}[{index}].counted_by", have.counted_by, f"{want.counted_by!r}")
        if have.axes != want.axes:
            raise wrong(f"{side}[{index}].axes", list(have.axes), f"{list(want.axes)}, of {want.name!r}")
