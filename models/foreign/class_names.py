"""Names and ids of the classes in a file that holds only their number."""

from __future__ import annotations

from collections.abc import Sequence

from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import CheckpointError

# torchvision lists COCO's names by id, with "N/A" for the eleven ids that COCO left out.
_BY_ID = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
#: The 80 classes of COCO 2017 in the order of their ids, by which Detectron2 and MMDetection count them.
COCO = tuple(Category(i, name) for i, name in enumerate(_BY_ID) if i and name != "N/A")


def name_classes(count: int, names: Sequence[str] | None, source: str) -> tuple[Category, ...]:
    """Give `names` the ids 1, 2, …; COCO's 80, given or by default, get COCO's own ids.

    Raises CheckpointError where names are needed, or are not `count`.
    """
    if count == len(COCO) and (names is None or list(names) == [c.name for c in COCO]):
        return COCO
    if names is None or len(names) != count:
        raise CheckpointError(
            f"{source}: tells {count} classes apart, and "
            f"{'has no names for them' if names is None else f'{len(names)} names were given'}. "
            "Name them: --classes name1,name2,…"
        )
    return tuple(Category(id=i, name=name) for i, name in enumerate(names, start=1))
