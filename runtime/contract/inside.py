"""The named tensors inside a model, and the computation between them: where parity and calibration look.

An exported graph gives each tap's name, prefixed by `PREFIX`, to a tensor, an output or not. The PyTorch
reference takes the same tensors by hooks. Which there are is the family's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from numpy.typing import NDArray

from maskrt.runtime.contract.sections import Side
from maskrt.runtime.contract.tensors import Tensor
from maskrt.runtime.rules import one_of, whole
from maskrt.runtime.structs import Format, wrong

PREFIX = "stage."
#: The tap of the normalised canvas, which parity makes again from an image, in a family that has one.
CANVAS = "canvas"
Stages = dict[str, NDArray]  # by the taps' names
KINDS = ("map", "counts", "boxes", "rows", "classes")


@dataclass(frozen=True)
class Tap:
    """A tensor inside a model. Shapes, for N images and R rows of all images together:

    | kind | shape | what |
    |---|---|---|
    | map | N × C × h × w | `stride_px` canvas pixels from one cell to the next, where the family says |
    | counts | N | int32: how many rows of an image are filled |
    | boxes | N × P × 4 | x1 y1 x2 y2 in canvas pixels; `rows`: P; past the counts `rows_of` they are zero |
    | rows | R × … | a row for each box of `rows_of`: a tap of boxes, or the output "boxes" |
    | classes | R × classes | the same, logits of classes |

    R is N·P or, where a graph computes them for the rows found only, their sum.
    """

    name: str
    kind: Annotated[str, one_of(KINDS)]
    rows_of: str | None = None
    rows: Annotated[int, whole(1, 1 << 20)] | None = None
    stride_px: Side | None = None


@dataclass(frozen=True)
class Part:
    """The computation between taps: what it takes and what it gives, taps or outputs. `gives` is in the order
    in which an error travels: of a pyramid from its top down."""

    name: str
    takes: tuple[str, ...]
    gives: tuple[str, ...]


@dataclass(frozen=True)
class Inside:
    """taps: in the order of the graph; parts: in the order of the computation."""

    FORMAT: ClassVar[Format] = Format(1)
    taps: tuple[Tap, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all taps."""
        return tuple(tap.name for tap in self.taps)

    @property
    def maps(self) -> tuple[str, ...]:
        """Of the taps that are maps."""
        return tuple(tap.name for tap in self.taps if tap.kind == "map")

    def tap(self, name: str) -> Tap:
        """By its name."""
        return next(tap for tap in self.taps if tap.name == name)

    def rows_of(self, boxes: str) -> tuple[str, ...]:
        """Of the taps that have a row for each of these boxes."""
        return tuple(
            tap.name for tap in self.taps if tap.kind in ("rows", "classes") and tap.rows_of == boxes
        )

    @property
    def order(self) -> tuple[str, ...]:
        """All names of taps and outputs, in the order in which an error travels."""
        made = (name for part in self.parts for name in part.gives)
        given = (name for part in self.parts for name in part.takes if name in self.names)
        known = dict.fromkeys(made)
        return tuple(dict.fromkeys((*(name for name in given if name not in known), *known, *self.names)))

    def tensor(self, name: str) -> str:
        """What a graph calls a tap, or an output, which is none."""
        return PREFIX + name if name in self.names else name

    def check(self, outputs: tuple[Tensor, ...]) -> None:
        """Raise FieldError for a name that means two tensors, or none, and for a kind that there is not.

        outputs: the model's.
        """
        known = {tensor.name for tensor in outputs}
        for index, tap in enumerate(self.taps):
            if tap.kind not in KINDS:
                raise wrong(f"inside.taps[{index}].kind", tap.kind, one_of(KINDS).expected)
            if tap.name in known:
                raise wrong(f"inside.taps[{index}].name", tap.name, "a name that no other tensor has")
            known.add(tap.name)
        counts = {tap.name for tap in self.taps if tap.kind == "counts"}
        boxes = {tap.name for tap in self.taps if tap.kind == "boxes"}
        boxes |= {tensor.name for tensor in outputs if tensor.counted_by}
        for index, tap in enumerate(self.taps):
            fits, names = tap.rows_of is None, "null"
            if tap.kind not in ("map", "counts"):
                allowed = counts if tap.kind == "boxes" else boxes
                fits, names = tap.rows_of in allowed, f"one of {sorted(allowed)}"
            if not fits:
                expected = f"{names}, since the tap is of kind {tap.kind!r}"
                raise wrong(f"inside.taps[{index}].rows_of", tap.rows_of, expected)
        for index, part in enumerate(self.parts):
            for end, names_there in (("takes", part.takes), ("gives", part.gives)):
                if unknown := [name for name in names_there if name not in known]:
                    raise wrong(f"inside.parts[{index}].{end}", unknown[0], "a tap or an output")
