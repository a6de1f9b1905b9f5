"""What the networks are: configuration, PyTorch module, inference graph, weights of other projects.

`FAMILIES` is where a family is registered: its name, and the package that holds it. A package has a module
`family` with a function `family(name)`, and may have a package `parity` (models/family.py says what each is
asked). Nothing of a family is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from maskrt.runtime.errors import MaskrtError

if TYPE_CHECKING:
    from maskrt.models.family import Family

FAMILIES: dict[str, str] = {
    "mask_rcnn": "maskrt.models.rcnn",
    "faster_rcnn": "maskrt.models.rcnn",
    "keypoint_rcnn": "maskrt.models.rcnn",
    "matterport_rcnn": "maskrt.models.rcnn.matterport",
    "fcn": "maskrt.models.fcn",
    "dilated": "maskrt.models.fcn.dilated",
    "yolact": "maskrt.models.yolact",
}


def find_family(name: str) -> Family[Any, Any]:
    """The family of that name, one of FAMILIES. Raises MaskrtError where its module is missing."""
    module = f"{FAMILIES[name]}.family"
    try:
        found: Family[Any, Any] = importlib.import_module(module).family(name)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise MaskrtError(
            f"the family {name!r}: FAMILIES in models/__init__.py says {FAMILIES[name]!r}, but there "
            f"is no {error.name!r}. Expected a package with a module `family`: docs/architecture.md, Adding."
        ) from error
    return found


def all_families() -> Iterator[Family[Any, Any]]:
    """Every family there is, in the order of FAMILIES."""
    return map(find_family, FAMILIES)
