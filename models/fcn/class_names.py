"""Names and ids of the labels in a file that holds only their number."""

from __future__ import annotations

from collections.abc import Sequence

from maskrt.models.parts.voc import VOC
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import CheckpointError


def name_labels(count: int, names: Sequence[str] | None, source: str) -> tuple[Category, ...]:
    """Give names the ids 0, 1, …, the values in a file of labels; VOC's 21 by default.

    Raises CheckpointError where names are needed, or are not `count`.
    """
    if names is None and count == len(VOC):
        names = VOC
    if names is None or len(names) != count:
        raise CheckpointError(
            f"{source}: tells {count} classes apart, the background with them, and "
            f"{'has no names for them' if names is None else f'{len(names)} names were given'}. "
            "Name them: --classes background,name1,…"
        )
    return tuple(Category(number, name) for number, name in enumerate(names))
