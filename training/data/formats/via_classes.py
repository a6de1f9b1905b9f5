"""Finds the class of a VIA region: VIA has no classes, only attributes that users name freely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maskrt.runtime.errors import DataError
from maskrt.training.data.problems import Flaw


def class_attribute_of(regions: list[dict[str, Any]], annotation_file: Path) -> str | None:
    """Find the region attribute that holds the class; None where no region has any attribute.

    It is the one that all regions have, or else the only one there is (regions without it are then faulty).
    Raises DataError where several are possible.
    """
    filled = [{key for key, value in _attributes(region).items() if value} for region in regions]
    used = set[str]().union(*filled)
    by_all = used.intersection(*filled)
    candidates = by_all or used
    if len(candidates) > 1:
        raise DataError(
            f"{annotation_file}: region attributes {', '.join(sorted(candidates))} could each be the class, "
            f"expected one. Name it: --class-attribute {sorted(candidates)[0]}"
        )
    return next(iter(candidates), None)


def region_class(region: dict[str, Any], attribute: str) -> str:
    """Read the class name of a region's attribute: a text, or a checkbox group {name: true} with one tick."""
    attributes = _attributes(region)
    value = attributes.get(attribute)
    ticked = [name for name, on in value.items() if on] if isinstance(value, dict) else [value]
    if len(ticked) != 1 or not isinstance(ticked[0], str) or not ticked[0].strip():
        raise Flaw(
            "no_class",
            f"attribute {attribute!r} is {value!r}, expected one class name, as other regions have",
        )
    return ticked[0].strip()


def _attributes(region: Any) -> dict[str, Any]:
    attributes = region.get("region_attributes") if isinstance(region, dict) else None
    return attributes if isinstance(attributes, dict) else {}
