"""Options of pictures and files: the style of overlays, and what a user wants beside the results."""

from __future__ import annotations

from dataclasses import dataclass, field

from maskrt.runtime.errors import OptionError

COLOR_BY = ("auto", "class", "instance")


@dataclass(frozen=True)
class Style:
    """Style of an overlay.

    color_by: "class", "instance", or "auto": by instance where the model has one class. labels: whether name
    and score are written. boxes: whether drawn; None: where there are no masks. alpha: of the masks' colour,
    0 to 1. Raises OptionError for anything else.
    """

    color_by: str = "auto"
    labels: bool = True
    boxes: bool | None = None
    alpha: float = 0.45

    def __post_init__(self) -> None:
        if self.color_by not in COLOR_BY:
            raise OptionError(f"color_by is {self.color_by!r}, expected one of {', '.join(COLOR_BY)}.")
        if not isinstance(self.alpha, (int, float)) or not 0 <= self.alpha <= 1:
            raise OptionError(f"alpha is {self.alpha!r}, expected a number from 0 to 1.")


@dataclass(frozen=True)
class Wanted:
    """Options of `maskrt infer`: what it writes beside predictions and lines.

    overlays, splash: pictures of each image or video; masks: a picture of each mask; contours: outlines.
    """

    style: Style = field(default_factory=Style)
    overlays: bool = True
    splash: bool = False
    masks: bool = False
    contours: bool = False

    @property
    def pictures(self) -> list[str]:
        """The kinds of pictures, in the order in which they are drawn."""
        asked = {"overlays": self.overlays, "splash": self.splash}
        return [kind for kind, wanted in asked.items() if wanted]
