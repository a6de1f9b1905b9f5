from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from maskrt.runtime.contract import Category
from maskrt.training.data import Sample
from maskrt.training.data.synthetic import SyntheticDataset


@pytest.fixture(scope="module")
def scenes() -> list[Sample]:
    return list(SyntheticDataset(60, 0))


def same(a: Sample, b: Sample) -> bool:
    return bool((a.image() == b.image()).all()) and a.instances == b.instances and a.image_id == b.image_id


def test_a_scene_depends_on_seed_and_index_alone() -> None:
    forwards = list(SyntheticDataset(4, seed=3))
    dataset = SyntheticDataset(9, seed=3)
    backwards = [dataset[i] for i in (3, 2, 1, 0)]
    assert all(same(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))
    assert not same(forwards[0], SyntheticDataset(4, seed=4)[0])
    assert not same(forwards[0], forwards[1])


def test_it_is_a_sequence() -> None:
    dataset = SyntheticDataset(3, seed=0)
    assert len(dataset) == len(list(dataset)) == 3
    assert same(dataset[-1], dataset[2])
    with pytest.raises(IndexError):
        dataset[3]


def test_the_size_is_as_asked() -> None:
    sample = SyntheticDataset(1, 0, height_px=96, width_px=200)[0]
    assert sample.image().shape == (sample.height_px, sample.width_px, 3) == (96, 200, 3)
    assert sample.image().dtype == np.uint8
    assert sample.masks().shape[1:] == (96, 200)


def test_changing_the_image_does_not_change_the_sample() -> None:
    sample = SyntheticDataset(1, 0)[0]
    first = sample.image()
    first[:] = 0
    assert sample.image().any()


def test_scenes_hold_two_to_seven_objects_of_all_classes(scenes: list[Sample]) -> None:
    assert SyntheticDataset(1, 0).classes == (
        Category(1, "disc"),
        Category(2, "square"),
        Category(3, "triangle"),
        Category(4, "star"),
    )
    assert {len(s.instances) for s in scenes} == set(range(2, 8))
    labels = np.bincount([i.label for s in scenes for i in s.instances])
    assert len(labels) == 4
    assert labels.min() > 0.15 * labels.sum()


def test_sizes_vary_and_suit_a_small_model(scenes: list[Sample]) -> None:
    boxes = np.array([i.box for s in scenes for i in s.instances])
    longest = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    assert ((longest >= 30) & (longest <= 110)).mean() > 0.9
    assert np.percentile(longest, 90) > 1.8 * np.percentile(longest, 10)


def test_masks_are_visible_parts_that_do_not_overlap(scenes: list[Sample]) -> None:
    for sample in scenes:
        assert sample.masks().sum(axis=0).max() == 1
        for mask, instance in zip(sample.masks(), sample.instances, strict=True):
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            assert instance.box == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            assert instance.area_px == mask.sum() >= 80


def test_objects_stand_out_from_their_surroundings(scenes: list[Sample]) -> None:
    """Masks lie on the pixels they claim: a shifted or transposed mask would lose the contrast."""
    contrasts = []
    for sample in scenes:
        image, masks = sample.image().astype(float), sample.masks()
        ground = image[~masks.any(axis=0)].mean(axis=0)
        contrasts += [np.abs(image[mask].mean(axis=0) - ground).mean() for mask in masks]
    assert np.median(contrasts) > 45
    assert np.percentile(contrasts, 5) > 15
    assert np.ptp(contrasts) > 50


def test_where_objects_overlap_the_owner_of_the_mask_is_seen(scenes: list[Sample]) -> None:
    """Drawing order and mask order agree: inside an object's outline, but masked as its occluder's."""
    own = []
    for sample in scenes:
        image, masks = sample.image().astype(float), sample.masks()
        for front, back in itertools.permutations(masks, 2):
            outline = cv2.convexHull(np.argwhere(back)[:, ::-1].astype(np.int32))
            hull = cv2.fillConvexPoly(np.zeros(back.shape, np.uint8), outline, 1).astype(bool)
            shared, rest = front & hull, front & ~hull
            if min(shared.sum(), rest.sum()) > 100:
                seen, its, other = (image[mask].mean(axis=0) for mask in (shared, rest, back))
                own.append(np.abs(seen - its).mean() < np.abs(seen - other).mean())
    assert len(own) > 30
    assert np.mean(own) > 0.9


def test_some_objects_are_occluded(scenes: list[Sample]) -> None:
    discs = [i for s in scenes for i in s.instances if i.label == 0 and touches_no_border(i.box, s)]
    fill = np.array([i.area_px / ((i.box[2] - i.box[0]) * (i.box[3] - i.box[1])) for i in discs])
    whole = np.abs(fill - np.pi / 4) < 0.03
    assert 0.4 < whole.mean() < 0.95


def touches_no_border(box: tuple[float, float, float, float], sample: Sample) -> bool:
    return min(box[:2]) > 0 and box[2] < sample.width_px and box[3] < sample.height_px
