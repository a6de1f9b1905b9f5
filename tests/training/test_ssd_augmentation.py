"""SSD's augmentation: what comes out still belongs together."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision import tv_tensors

from maskrt.training.loop.ssd import SsdAugmentation

SIZE = (80, 120)


def scene() -> tuple[tv_tensors.Image, dict[str, Tensor]]:
    """Two objects that fill their boxes, one of them in a corner, and marks of no object."""
    boxes = torch.tensor([[20.0, 10.0, 70.0, 60.0], [100.0, 64.0, 118.0, 78.0]])
    masks = torch.zeros(2, *SIZE, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    image = torch.full((3, *SIZE), 90, dtype=torch.uint8)
    return tv_tensors.Image(image), {
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=SIZE),
        "masks": tv_tensors.Mask(masks),
        "labels": torch.tensor([4, 7]),
    }


def test_what_is_left_of_each_object_stays_together() -> None:
    augment, numbers = SsdAugmentation(), set()
    torch.manual_seed(0)
    for _ in range(40):
        image, target = augment(*scene())
        assert image.shape == (3, *SIZE)
        assert len(target["boxes"]) == len(target["masks"]) == len(target["labels"])
        numbers.add(len(target["labels"]))
        for box, mask in zip(target["boxes"], target["masks"], strict=True):
            rows, columns = torch.where(mask.as_subclass(Tensor) > 0)
            drawn = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert (drawn - box.as_subclass(Tensor)).abs().max() <= 2.5, "pixels of the enlarged mask"
    assert numbers == {1, 2}, "a crop leaves one out now and then"


def test_a_picture_without_objects_goes_through() -> None:
    augment = SsdAugmentation()
    torch.manual_seed(0)
    for _ in range(20):
        image, target = augment(
            scene()[0],
            {
                "boxes": tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=SIZE),
                "masks": tv_tensors.Mask(torch.zeros(0, *SIZE, dtype=torch.uint8)),
                "labels": torch.zeros(0, dtype=torch.int64),
            },
        )
        assert (image.shape, len(target["boxes"])) == ((3, *SIZE), 0)
