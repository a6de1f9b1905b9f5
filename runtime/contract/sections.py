"""Sections of a contract that hold for every task: classes, canvas, colours, layers, precision, origin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from maskrt.runtime.rules import Rule, number, one_of, whole
from maskrt.runtime.structs import Format, wrong

LEARNED_SCALES = "learned_scales"  # of precision.details: from `maskrt train --qat`, by point of the network
PLACEMENTS = ("corner", "square", "native", "stretch")
RESIZES = {  # by rule, the types of pixels that it works on
    "torch": ("float32", "uint8"),
    "pil": ("uint8",),
    "opencv": ("uint8", "float32"),
    "skimage": ("uint8",),
}
ROUNDINGS = ("down", "nearest", "nearest_by_side", "half_to_even")
PRECISIONS = ("fp32", "fp16", "int8")
MOST_SIDE_PX = 1 << 14  # of a canvas; its square is a gigabyte of pixels
MOST_SIZE_PX = 1 << 20  # of a resize rule, where some write "no limit" as a large number
MOST_ID, MOST_COLOUR, LEAST_STD = 1 << 53, 1e6, 1e-6
Name = Annotated[str, Rule("a text that is not empty", lambda v: isinstance(v, str) and bool(v.strip()))]
Side = Annotated[int, whole(1, MOST_SIDE_PX)]
Mean = Annotated[float, number(-MOST_COLOUR, MOST_COLOUR)]
Std = Annotated[float, number(LEAST_STD, MOST_COLOUR)]


@dataclass(frozen=True)
class Category:
    """A class the model can find. `id` is the data set's own category id (COCO's are not consecutive)."""

    id: Annotated[int, whole(-MOST_ID, MOST_ID)]
    name: Name


@dataclass(frozen=True)
class Canvas:
    """How an image is laid on the model's input.

    The image is scaled to `min_size_px` on its short side, or less where its long side would pass
    `max_size_px`, placed at the top left, and padded at the right and bottom to a multiple of `stride`.
    `height_px` and `width_px` fix the canvas (then the image is scaled to fit inside); both None means
    any size. `dtype` is what the graph takes: uint8 or float32, RGB, 0 to 255 either way.

    That is the placement "corner". "square" is Matterport's: small images are enlarged to `min_size_px`,
    large ones made smaller for `max_size_px` alone, and each lies in the middle of a square of `max_size_px`.
    "native" keeps a picture's own size, where neither `max_size_px` nor a fixed canvas is smaller; it lies as
    in "corner". "stretch" fills the canvas, both sides by a scale of their own: a fixed one, or a square of
    `max_size_px`.

    `resize` is whose bilinear filter scales it (runtime/resize): "torch", without smoothing; "pil", which
    smooths where it shrinks; "opencv"; "skimage", as Matterport calls it. `resize_dtype` is the type of
    pixels that the filter works on: null is uint8, and of "torch" the canvas's own. `rounding` is of the
    resized sides: "down" as torchvision, "nearest" as MMDetection, or "nearest_by_side" as Detectron2 and
    "half_to_even" as Python's round(), which are "nearest" but for ties; "square" has Matterport's anyway.
    """

    FORMAT: ClassVar[Format] = Format(1)
    min_size_px: Side
    max_size_px: Annotated[int, whole(1, MOST_SIZE_PX)]
    stride: Annotated[int, whole(1, 1024)]
    height_px: Side | None
    width_px: Side | None
    dtype: Annotated[str, one_of(("uint8", "float32"))]
    placement: Annotated[str, one_of(PLACEMENTS)] = "corner"
    resize: Annotated[str, one_of(RESIZES)] = "torch"
    resize_dtype: Annotated[str, one_of(("uint8", "float32"))] | None = None
    rounding: Annotated[str, one_of(ROUNDINGS)] = "down"

    def check(self) -> None:
        """Raise FieldError where one field contradicts another."""
        if self.max_size_px < self.min_size_px:
            raise wrong(
                "canvas.max_size_px", self.max_size_px, f"at least canvas.min_size_px, {self.min_size_px}"
            )
        for name, side in (("height_px", self.height_px), ("width_px", self.width_px)):
            if (side or 0) % self.stride:
                raise wrong(f"canvas.{name}", side, f"a multiple of canvas.stride, {self.stride}")
        if (self.height_px is None) != (self.width_px is None):
            raise wrong("canvas.width_px", self.width_px, "null just where canvas.height_px is")
        if self.resize_dtype and self.resize_dtype not in RESIZES[self.resize]:
            what = f"what canvas.resize {self.resize!r} works on, {' or '.join(RESIZES[self.resize])}"
            raise wrong("canvas.resize_dtype", self.resize_dtype, what)


@dataclass(frozen=True)
class Normalise:
    """RGB, of pixels scaled to 0–1: what is subtracted, then what is divided by. Applied inside the graph."""

    FORMAT: ClassVar[Format] = Format(1)
    mean: tuple[Mean, Mean, Mean]
    std: tuple[Std, Std, Std]


@dataclass(frozen=True)
class Layers:
    """What a change of precision must know about a model's weights, by the beginning of their names.

    groups: (beginning, group), of which the first that fits counts: what sensitivity, plan and accuracy gate
    switch together. A layer that none fits is a group of its own.
    outputs: the group that stays in float unless a plan says otherwise; empty where there is none.
    points: (beginning in training, beginning here): where quantisation-aware training names a module
    otherwise than the graph.
    units: what an FP16 file returns to float32 as one, since its layers share half-precision tensors. "*"
    stands for one piece between dots; of several that fit the first counts.
    """

    FORMAT: ClassVar[Format] = Format(1)
    groups: tuple[tuple[str, str], ...] = ()
    outputs: str = ""
    points: tuple[tuple[str, str], ...] = ()
    units: tuple[str, ...] = ()

    def group_of(self, layer: str) -> str:
        """The group of a layer, by the name of its weights."""
        return next((group for start, group in self.groups if layer.startswith(start)), layer)

    def is_output(self, layer: str) -> bool:
        """True if a layer stays in float unless a plan says otherwise."""
        return bool(self.outputs) and self.group_of(layer) == self.outputs

    def unit_of(self, weight: str) -> str | None:
        """The unit that a weight belongs to; None where it belongs to none."""
        pieces = weight.split(".")
        for unit in self.units:
            wanted = unit.split(".")
            if len(pieces) > len(wanted) and all(
                want in ("*", have) for want, have in zip(wanted, pieces, strict=False)
            ):
                return ".".join(pieces[: len(wanted)])
        return None

    def name_here(self, name: str) -> str:
        """What the graph calls a module or a point of the network in training."""
        return next((new + name.removeprefix(old) for old, new in self.points if name.startswith(old)), name)


@dataclass(frozen=True)
class Precision:
    """name: one of PRECISIONS. details: how it was reached: float32 units (fp16); images, method,
    float layers (int8); of a float32 model that was trained for eight bits, its learned scales."""

    FORMAT: ClassVar[Format] = Format(1)
    name: Annotated[str, one_of(PRECISIONS)] = "fp32"
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """Where the file came from."""

    FORMAT: ClassVar[Format] = Format(1)
    toolkit_version: str
    checkpoint_sha256: str
