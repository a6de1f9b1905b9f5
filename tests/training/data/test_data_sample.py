from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrt.runtime.contract import Category
from maskrt.runtime.errors import ImageError
from maskrt.training.data import Dataset, Instance, Sample, load_dataset
from maskrt.training.data.masks import mask_rle, tight_box


def sample_of(masks: np.ndarray) -> Sample:
    instances = []
    for number, mask in enumerate(masks):
        rle = mask_rle(mask)
        instances.append(Instance(number, 0, rle, tight_box(rle), float(mask.sum()), is_crowd=False))
    height, width = masks.shape[1:]
    return Sample(1, "x.png", height, width, tuple(instances), np.zeros((height, width, 3), np.uint8).copy)


side = st.integers(1, 40)


@given(height=side, width=side, new_height=side, new_width=side, seed=st.integers(0, 1000))
def test_resampled_masks_take_the_pixel_under_each_new_centre(
    height: int, width: int, new_height: int, new_width: int, seed: int
) -> None:
    full = np.random.default_rng(seed).random((2, height, width)) < 0.5
    resampled = sample_of(full).masks((new_height, new_width))
    assert resampled.shape == (2, new_height, new_width)
    assert resampled.dtype == bool
    for row in range(new_height):
        for column in range(new_width):
            y, x = (2 * row + 1) * height // (2 * new_height), (2 * column + 1) * width // (2 * new_width)
            np.testing.assert_array_equal(resampled[:, row, column], full[:, y, x])


@given(height=side, width=side, scale=st.integers(1, 4), seed=st.integers(0, 1000))
def test_enlarging_masks_by_a_whole_number_repeats_pixels(
    height: int, width: int, scale: int, seed: int
) -> None:
    full = np.random.default_rng(seed).random((1, height, width)) < 0.5
    sample = sample_of(full)
    np.testing.assert_array_equal(sample.masks(), full)
    np.testing.assert_array_equal(
        sample.masks((height * scale, width * scale)), full.repeat(scale, axis=1).repeat(scale, axis=2)
    )


def test_an_image_of_another_size_than_its_header_said_is_refused() -> None:
    sample = Sample(1, "x.png", 4, 5, (), np.zeros((5, 4, 3), np.uint8).copy)
    with pytest.raises(ImageError, match=r"x\.png: decoded to shape \(5, 4, 3\).*\(4, 5, 3\)"):
        sample.image()


def coco_of(dictionary: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dictionary
    coco.createIndex()
    return coco


def average_precision(truth: COCO, detections: list[dict[str, Any]], kind: str) -> float:
    evaluation = COCOeval(truth, truth.loadRes(detections), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[0])


def test_to_coco_keeps_categories_images_and_geometry() -> None:
    full = np.zeros((1, 20, 30), dtype=bool)
    full[0, 5:10, 10:22] = True
    dataset = Dataset("d", (Category(7, "cat"),), [sample_of(full)])
    document = dataset.to_coco()
    assert document["categories"] == [{"id": 7, "name": "cat"}]
    assert document["images"] == [{"id": 1, "file_name": "x.png", "height": 20, "width": 30}]
    (annotation,) = document["annotations"]
    assert (annotation["category_id"], annotation["bbox"]) == (7, [10, 5, 12, 5])
    assert (annotation["area"], annotation["iscrowd"], annotation["id"]) == (60, 0, 1)
    np.testing.assert_array_equal(coco_of(document).annToMask(annotation), full[0])


@pytest.mark.parametrize(
    "spec", ["droplets/val", "coco-mini/annotations/instances_val2017.json", "synthetic:8:3"]
)
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_ground_truth_as_detections_scores_ap_1(spec: str, kind: str, shared_data: Path) -> None:
    dataset = load_dataset(spec if spec.startswith("synthetic") else shared_data / spec)
    truth = coco_of(dataset.to_coco())
    assert {a["category_id"] for a in truth.dataset["annotations"]} <= {c.id for c in dataset.classes}
    detections = [
        {**{key: a[key] for key in ("image_id", "category_id", "bbox", "segmentation")}, "score": 0.9}
        for a in truth.dataset["annotations"]
        if not a["iscrowd"]
    ]
    if kind == "bbox":  # loadRes would take the segmentation first
        detections = [{k: v for k, v in d.items() if k != "segmentation"} for d in detections]
    assert average_precision(truth, detections, kind) == pytest.approx(1.0)


def test_what_was_read_scores_ap_1_against_the_original_file(shared_data: Path) -> None:
    """Ids, classes and masks are the file's own, as pycocotools itself reads them."""
    path = shared_data / "coco-mini" / "annotations" / "instances_val2017.json"
    detections = [
        {**{key: a[key] for key in ("image_id", "category_id", "segmentation")}, "score": 0.9}
        for a in load_dataset(path).to_coco()["annotations"]
        if not a["iscrowd"]
    ]
    truth = COCO(str(path))
    assert average_precision(truth, detections, "segm") == pytest.approx(1.0)


@pytest.mark.parametrize("spec", ["droplets/val", "synthetic:2"])
def test_samples_can_be_sent_to_worker_processes(spec: str, shared_data: Path) -> None:
    sample = load_dataset(spec if spec.startswith("synthetic") else shared_data / spec)[0]
    sent = pickle.loads(pickle.dumps(sample))
    np.testing.assert_array_equal(sent.image(), sample.image())
    np.testing.assert_array_equal(sent.masks(), sample.masks())
