"""AP of both models and the interval of their difference, on detections whose AP is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskrt.runtime.errors import ParityError
from maskrt.runtime.parity.annotated import Annotated
from maskrt.runtime.tasks.instances.measure.coco import coco_metrics
from maskrt.runtime.tasks.instances.measure.metric import InstancesMetric
from maskrt.runtime.tasks.instances.rle import encode_crop
from tests.runtime.conftest import make_contract
from tests.runtime.played import Annotations

IMAGES = 14  # as few as make an interval matter


def truth() -> dict[str, Any]:
    """One square a picture."""
    return {
        "images": [
            {"id": i, "file_name": f"photos/{i}.jpg", "height": 100, "width": 100}
            for i in range(1, IMAGES + 1)
        ],
        "categories": [{"id": 1, "name": "square"}],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "bbox": [20, 20, 40, 40],
                "area": 1600,
                "iscrowd": 0,
                "segmentation": [[20, 20, 60, 20, 60, 60, 20, 60]],
            }
            for i in range(1, IMAGES + 1)
        ],
    }


def found(image_id: int, *, shift_px: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image_id,
            "category_id": 1,
            "score": 0.5 + image_id / 100,
            "bbox": [20 + shift_px, 20, 40, 40],
            "segmentation": encode_crop(np.ones((40, 40), bool), 20, 20 + shift_px, 100, 100),
        }
    ]


class Found(list):
    """A result that is nothing but its COCO rows."""

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        return [{**row, "image_id": image_id} for row in self]


def annotated() -> Annotated:
    return Annotated(Annotations(truth()), InstancesMetric(make_contract()))


def difference(candidate: Any, images: int = IMAGES) -> dict[str, dict[str, float]]:
    task = annotated()
    for image_id in range(1, images + 1):
        task.add(image_id - 1, Found(found(image_id)), Found(candidate(image_id)))
    return task.difference()


def test_a_model_is_as_good_as_itself() -> None:
    for ap in difference(found).values():
        assert ap == {"reference": 1, "candidate": 1, "difference": 0, "low": 0, "high": 0, "carriers": 0}


def test_it_is_the_ap_of_coco() -> None:
    rows = [row for i in range(1, IMAGES + 1) for row in found(i, shift_px=i)]
    expected = coco_metrics(truth(), [dict(row) for row in rows])

    measured = difference(lambda i: found(i, shift_px=i))

    assert 0 < expected["mask_ap"] < 1
    assert measured["mask"]["candidate"] == pytest.approx(expected["mask_ap"])
    assert measured["box"]["candidate"] == pytest.approx(expected["box_ap"])


def test_one_miss_in_fourteen_images_is_within_chance() -> None:
    ap = difference(lambda i: [] if i == 3 else found(i))["mask"]

    assert ap["difference"] < -0.05
    assert ap["low"] < ap["difference"]
    assert ap["high"] == 0, "the image is not drawn in a third of the replicates"


def test_a_shift_in_every_image_is_no_chance() -> None:
    ap = difference(lambda i: found(i, shift_px=8))["mask"]

    assert ap["difference"] < -0.2
    assert ap["low"] <= ap["difference"] <= ap["high"] < 0


def test_only_the_images_that_were_compared_count() -> None:
    assert difference(found, images=2)["mask"]["candidate"] == 1


def test_images_are_known_by_their_file_s_name() -> None:
    assert annotated().place("3.jpg") == 2
    assert annotated().place("elsewhere.jpg") is None


def test_images_without_annotations_are_an_error() -> None:
    with pytest.raises(ParityError, match="none of the images is in the annotations"):
        annotated().difference()
