"""Samples relabelled in the classes of a model."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from benchmarks.samples import scene
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import DataError
from maskrt.training.data import load_dataset
from maskrt.training.data.checks import image_size
from maskrt.training.data.problems import Flaw


def test_a_part_that_lacks_a_class_is_labelled_in_the_models() -> None:
    dataset = load_dataset("synthetic:4")
    more = (Category(1, "hexagon"), *(Category(c.id + 1, c.name) for c in dataset.classes))
    relabelled = dataset.with_classes(more)
    assert relabelled.classes == more
    for before, after in zip(dataset, relabelled, strict=True):
        names = [dataset.classes[i.label].name for i in before.instances]
        assert [more[i.label].name for i in after.instances] == names
    assert {a["category_id"] for a in relabelled.to_coco()["annotations"]} <= {2, 3, 4, 5}


def test_a_class_that_the_model_does_not_know_is_named() -> None:
    with pytest.raises(DataError, match=r"classes \['star'\] are not among those of the model"):
        load_dataset("synthetic:2").with_classes(load_dataset("synthetic:2").classes[:3])


def test_a_jpeg_cut_off_is_found_before_training(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    cv2.imwrite(str(whole), scene())
    assert image_size(whole) == (256, 320)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(Flaw, match=r"cut\.jpg is a JPEG cut off"):
        image_size(cut)
