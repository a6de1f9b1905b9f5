"""The points of an object, as data sets name them and models find them."""

from __future__ import annotations

import re
from dataclasses import dataclass

SIDES, OTHER_SIDE = re.compile("left|right"), {"left": "right", "right": "left"}


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
