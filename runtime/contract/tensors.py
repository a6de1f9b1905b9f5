"""What goes into a model and what comes out: names, dtypes, axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from maskrt.runtime.contract.sections import MOST_SIZE_PX, Canvas
from maskrt.runtime.rules import whole
from maskrt.runtime.structs import wrong

IMAGES, IMAGE_SIZES = "images", "image_sizes"
INPUT_NAMES = (IMAGES, IMAGE_SIZES)
BATCH, HEIGHT, WIDTH = "batch", "height", "width"  # axes that vary
MOST_IMAGES = 1 << 12


@dataclass(frozen=True)
class Tensor:
    """An input or an output. An axis is a number, or the name of what it varies with: "batch", or "height"
    and "width" of the canvas, "height/8" an eighth of it, rounded up, "height/8*2" twice that. counted_by:
    the output that says how many rows of each image are filled; the rest is zero."""

    name: str
    dtype: str
    axes: tuple[Annotated[int, whole(1, MOST_SIZE_PX)] | str, ...]
    counted_by: str | None = (
        None  # the output that says how many rows of each image are filled; the rest is 0
    )

    def shape(self, sides: Mapping[str, int]) -> tuple[int, ...]:
        """The shape where the axes that vary have these sizes."""
        return tuple(_length(axis, sides) if isinstance(axis, str) else axis for axis in self.axes)


def _length(axis: str, sides: Mapping[str, int]) -> int:
    part, _, times = axis.partition("*")
    name, _, divisor = part.partition("/")
    return -(-sides[name] // int(divisor or 1)) * int(times or 1)


def map_axes(canvas: Canvas, stride_px: int, times: int = 1) -> tuple[int | str, int | str]:
    """Axes of a map with a cell for every `stride_px` pixels of a canvas, the last of which may be fewer; or
    of one that was enlarged, with `times` as many."""
    over = (f"/{stride_px}" if stride_px > 1 else "") + (f"*{times}" if times > 1 else "")
    height, width = (side and -(-side // stride_px) * times for side in (canvas.height_px, canvas.width_px))
    return height or HEIGHT + over, width or WIDTH + over


def image_inputs(canvas: Canvas, batch: int | None) -> tuple[Tensor, ...]:
    """What every model takes: pictures on a canvas, and how much of it each covers. batch None: any."""
    images = batch or BATCH
    return (
        Tensor(IMAGES, canvas.dtype, (images, *map_axes(canvas, 1), 3)),
        Tensor(IMAGE_SIZES, "float32", (images, 2)),
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
