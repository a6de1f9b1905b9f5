"""COCO's keypoints (https://cocodataset.org/#format-data): categories name them, annotations place them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maskrt.runtime.contract import Keypoints
from maskrt.runtime.errors import DataError
from maskrt.training.data import checks
from maskrt.training.data.problems import Flaw

VISIBILITIES = (0, 1, 2)  # not labelled (x = y = 0), labelled but hidden, labelled and visible
Points = tuple[tuple[float, float, int], ...]


def keypoint_layout(categories: list[Any], annotation_file: Path) -> Keypoints | None:
    """Names and skeleton of the points of the file's instances; None where its categories differ or name
    none.

    Raises DataError where they are not a list of names and a skeleton of them.
    """
    named = [c for c in categories if isinstance(c, dict) and c.get("keypoints")]
    layouts = {_layout(category, annotation_file) for category in named}
    return layouts.pop() if len(layouts) == 1 else None


def _layout(category: dict[str, Any], annotation_file: Path) -> Keypoints:
    names, skeleton = category["keypoints"], category.get("skeleton") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(
            f"{annotation_file}: 'keypoints' of a category is {names!r}, expected a list of names."
        )
    places = range(1, len(names) + 1)  # COCO counts them from 1
    try:
        joined = tuple((int(a) - 1, int(b) - 1) for a, b in skeleton if a in places and b in places)
    except (TypeError, ValueError):
        joined = ()
    if not isinstance(skeleton, list) or len(joined) != len(skeleton):
        raise DataError(
            f"{annotation_file}: 'skeleton' of a category is {checks.brief(skeleton)}, expected pairs of "
            f"numbers from 1 to {len(names)}. Mend that entry."
        )
    return Keypoints(tuple(names), joined)


def instance_keypoints(annotation: Any, layout: Keypoints | None, size: tuple[int, int]) -> Points | None:
    """Read an annotation's points, in the order of the layout; None where it has none.

    size: (height, width) of the image. Raises Flaw where they are not x, y, visibility of each, inside the
    image.
    """
    if layout is None or "keypoints" not in annotation:
        return None
    values = checks.numbers(annotation["keypoints"], "keypoints")
    if len(values) != 3 * len(layout.names):
        raise Flaw(
            "malformed",
            f"keypoints holds {len(values)} numbers, expected {3 * len(layout.names)}: "
            "x, y and visibility of each",
        )
    points = tuple((x, y, int(v)) for x, y, v in zip(values[::3], values[1::3], values[2::3], strict=True))
    for x, y, visibility in points:
        if visibility not in VISIBILITIES:
            raise Flaw("malformed", f"keypoints has visibility {visibility}, expected 0, 1 or 2")
        if visibility:
            checks.inside((x, y, x, y), "keypoints", size)
    return points
