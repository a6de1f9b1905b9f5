"""What each field of a contract may hold: its type and its range, in one table.

A contract comes with a file, from anywhere, and what it says decides how much memory is taken and how results
are read. So every value is checked when it is read, and a wrong one is named with its field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from maskrt.runtime.errors import ContractError

MOST_SIDE_PX = 1 << 14  # of a canvas; its square is a gigabyte of pixels
MOST_SIZE_PX = 1 << 20  # of a resize rule, where some write "no limit" as a large number
MOST_IMAGES, MOST_ROWS, MOST_MASK_SIDE, MOST_ID = 1 << 12, 1 << 16, 1 << 10, 1 << 53
SHOWN_CHARACTERS = 60  # of a value that is wrong


@dataclass(frozen=True)
class Rule:
    """What a value must fulfil. expected: in words."""

    expected: str
    fits: Callable[[Any], bool]


def whole(low: int, high: int) -> Rule:
    """A whole number; true and false are none."""
    return Rule(f"a whole number from {low} to {high}", lambda v: type(v) is int and low <= v <= high)


def number(low: float, high: float) -> Rule:
    """A finite number."""
    return Rule(f"a number from {low:g} to {high:g}", lambda v: _is_number(v) and low <= v <= high)


def numbers(count: int, above: float = -math.inf) -> Rule:
    """A list of finite numbers."""
    which = f" above {above:g}" if math.isfinite(above) else ""
    return Rule(
        f"a list of {count} finite numbers{which}",
        lambda v: (
            isinstance(v, list | tuple) and len(v) == count and all(_is_number(x) and x > above for x in v)
        ),
    )


def one_of(*names: str) -> Rule:
    """One of some words."""
    return Rule(" or ".join(map(repr, names)), lambda v: v in names)


def or_null(rule: Rule) -> Rule:
    """That, or nothing."""
    return Rule(f"{rule.expected}, or null", lambda v: v is None or rule.fits(v))


TEXT = Rule("a text", lambda v: isinstance(v, str))
OBJECT = Rule("an object", lambda v: isinstance(v, dict))
LIST = Rule("a list", lambda v: isinstance(v, list | tuple))
SIDE = or_null(whole(1, MOST_SIDE_PX))
PAIR = Rule(
    "two places in the list of names",
    lambda v: isinstance(v, list | tuple) and len(v) == 2 and all(type(x) is int and x >= 0 for x in v),
)

#: By field; "[]" stands for each entry of a list.
RULES: dict[str, Rule] = {
    "task": TEXT,  # one that this maskrt does not run is told apart: backends.session.check_task
    "family": TEXT,
    "config": OBJECT,
    "classes": LIST,
    "classes[]": OBJECT,
    "classes[].id": whole(-MOST_ID, MOST_ID),
    "classes[].name": TEXT,
    "canvas": OBJECT,
    "canvas.min_size_px": whole(1, MOST_SIDE_PX),
    "canvas.max_size_px": whole(1, MOST_SIZE_PX),
    "canvas.stride": whole(1, 1024),
    "canvas.height_px": SIDE,
    "canvas.width_px": SIDE,
    "canvas.dtype": one_of("uint8", "float32"),
    "canvas.layout": one_of("corner", "square"),
    "batch": or_null(whole(1, MOST_IMAGES)),
    "mean": numbers(3),
    "std": numbers(3, above=0),
    "score_threshold": number(0, 1),
    "nms_threshold": number(0, 1),
    "max_detections": whole(1, MOST_ROWS),
    "mask_size": or_null(whole(1, MOST_MASK_SIDE)),
    "mask_frame": or_null(one_of("box", "image")),
    "mask_threshold": or_null(number(0, 1)),
    "detections": one_of("fixed", "dynamic"),
    "precision": TEXT,
    "toolkit_version": TEXT,
    "checkpoint_sha256": TEXT,
    "precision_details": OBJECT,
    "chosen_settings": OBJECT,
    "keypoints": or_null(OBJECT),
    "keypoints.names": LIST,
    "keypoints.names[]": TEXT,
    "keypoints.skeleton": LIST,
    "keypoints.skeleton[]": PAIR,
}
DEFAULTS = {"canvas.layout": "corner"}  # of files older than the field
MISSING = object()


def check_fields(fields: Mapping[str, Any], source: str) -> None:
    """Raise ContractError for the first value that is not what its field may hold.

    fields: of a contract, all there, as JSON gives them. source: the file, for the message.
    """
    for path, rule in RULES.items():
        for name, value in _values(fields, path):
            if not rule.fits(value):
                raise wrong(source, name, value, rule.expected)
    known: set[int] = set()
    for index, category in enumerate(fields["classes"]):
        if category["id"] in known:
            raise wrong(source, f"classes[{index}].id", category["id"], "an id that no other class has")
        known.add(category["id"])
    canvas, keypoints = fields["canvas"], fields["keypoints"]
    if canvas["max_size_px"] < canvas["min_size_px"]:
        least = f"at least canvas.min_size_px, {canvas['min_size_px']}"
        raise wrong(source, "canvas.max_size_px", canvas["max_size_px"], least)
    for side in ("height_px", "width_px"):
        if (canvas[side] or 0) % canvas["stride"]:
            expected = f"a multiple of canvas.stride, {canvas['stride']}"
            raise wrong(source, f"canvas.{side}", canvas[side], expected)
    if (canvas["height_px"] is None) != (canvas["width_px"] is None):
        raise wrong(source, "canvas.width_px", canvas["width_px"], "null just where canvas.height_px is")
    for name in ("mask_frame", "mask_threshold"):
        if (fields[name] is None) != (fields["mask_size"] is None):
            raise wrong(source, name, fields[name], "null just where mask_size is")
    for pair in keypoints["skeleton"] if keypoints else ():
        if max(pair) >= len(keypoints["names"]):
            raise wrong(source, "keypoints.skeleton", pair, PAIR.expected)
    needs = {"instance": "mask_size", "keypoint": "keypoints"}.get(fields["task"])
    if needs and fields[needs] is None:
        raise wrong(source, needs, None, f"a value, since the task is {fields['task']!r}")


def wrong(source: str, name: str, value: Any, expected: str) -> ContractError:
    """What to raise for a value that a field may not hold."""
    shown = "missing" if value is MISSING else repr(value)
    shown = shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 2] + " …"
    return ContractError(
        f"{source}: the contract's field '{name}' is {shown}, expected {expected}. "
        f"Export the model again: maskrt export CHECKPOINT -o {source}"
    )


def _values(fields: Any, path: str) -> list[tuple[str, Any]]:
    """Every value at a path, with its name; none below a null, and MISSING where there is none."""
    found: list[tuple[str, Any]] = [("", fields)]
    for part in path.split("."):
        key, is_list = part.removesuffix("[]"), part.endswith("[]")
        found = [
            (f"{at}.{key}".lstrip("."), value.get(key, DEFAULTS.get(path, MISSING)))
            for at, value in found
            if value is not None
        ]
        if is_list:
            found = [(f"{at}[{i}]", each) for at, value in found for i, each in enumerate(value)]
    return found


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= 1e300
