"""Matterport's Dataset and Config: what they become, and what is wrong with them by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import DataError, MaskrtError
from maskrt.training.config import preset
from maskrt.training.matterport import Config, Dataset
from maskrt.training.matterport_config import settings

SMALL = preset("small")

Masks = tuple[np.ndarray, np.ndarray]


class Shapes(Dataset):
    """Two made images: a bolt and a nut on the first, nothing on the second."""

    def __init__(self, change: Callable[[np.ndarray, np.ndarray], Masks] = lambda m, c: (m, c)) -> None:
        super().__init__()
        self.change = change
        self.add_class("parts", 3, "nut")
        self.add_class("parts", 8, "bolt")
        self.add_class("parts", 8, "bolt")
        for name in ("first", "second"):
            self.add_image("parts", name, None, seed=7)

    def load_image(self, image_id: int) -> np.ndarray:
        return np.full((20, 30, 3), self.image_info[image_id]["seed"], np.uint8)

    def load_mask(self, image_id: int) -> Masks:
        masks = np.zeros((20, 30, 2), bool)
        masks[2:6, 3:9, 0] = masks[10:14, 20:28, 1] = True
        if image_id == 1:
            return masks[:, :, :0], np.zeros(0, int)
        return self.change(masks, np.array([2, 1]))


def test_it_becomes_a_data_set_like_any_other() -> None:
    shapes = Shapes()
    shapes.prepare()
    assert (shapes.class_names, shapes.num_classes, list(shapes.image_ids)) == (
        ["BG", "nut", "bolt"],
        3,
        [0, 1],
    )
    dataset = shapes.to_dataset()
    assert dataset.classes == (Category(3, "nut"), Category(8, "bolt"))
    assert [(s.source, len(s.instances)) for s in dataset] == [("first", 2), ("second", 0)]
    assert [(i.label, i.box) for i in dataset[0].instances] == [(1, (3, 2, 9, 6)), (0, (20, 10, 28, 14))]
    np.testing.assert_array_equal(dataset[0].masks().transpose(1, 2, 0), shapes.load_mask(0)[0])
    assert dataset[0].image().shape == (20, 30, 3)


def test_an_image_is_read_from_its_path(tmp_path: Path, write_image: Callable[[Path], None]) -> None:
    write_image(tmp_path / "a.png")
    dataset = Dataset()
    dataset.add_image("parts", 1, tmp_path / "a.png")
    assert dataset.load_image(0).shape == (30, 40, 3)
    assert dataset.image_reference(0) == str(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("change", "message", "left"),
    [
        (lambda m, c: (m[1:], c), r"first: masks are \(19, 30, 2\), expected .*mask_size", 0),
        (lambda m, c: (m[0], c), r"first: masks are \(30, 2\), expected .*mask_size", 0),
        (lambda m, c: (m, c[:1]), r"first: class_ids are \(1,\), expected \(2,\), one a mask.*malformed", 0),
        (lambda m, c: (m, c + 1), "first, annotation 0: class is 3, expected 1 to 2.*unknown_category", 1),
        (lambda m, c: (m, c - 1), "first, annotation 1: class is 0, expected 1 to 2.*unknown_category", 1),
        (lambda m, c: (m * [1, 0], c), "first, annotation 1: mask covers 0 pixels.*zero_area", 1),
    ],
)
def test_what_load_mask_does_wrong_is_named(change: Any, message: str, left: int) -> None:
    with pytest.raises(DataError, match=rf"Shapes: 1 problem.*\n  {message}\]\n.*skip_bad=True"):
        Shapes(change).to_dataset()
    if left:
        dataset = Shapes(change).to_dataset(skip_bad=True)
        assert (len(dataset[0].instances), sum(dataset.dropped.values())) == (left, 1)
    else:
        with pytest.raises(DataError, match="Shapes: 1 images without any object"):
            Shapes(change).to_dataset(skip_bad=True)


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("PNG")
    dataset = Dataset()
    dataset.add_class("parts", 1, "nut")
    dataset.add_image("parts", 1, tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png.*\[unreadable_image\]"):
        dataset.to_dataset()


def test_class_ids_must_differ_as_they_are_kept() -> None:
    shapes = Shapes()
    shapes.add_class("other", 8, "washer")
    with pytest.raises(DataError, match=r"class ids are \[3, 8, 8\]"):
        shapes.to_dataset()


def test_a_config_sets_what_it_names_and_leaves_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    class Mine(Config):
        NAME = "mine"
        STEPS_PER_EPOCH = 100
        IMAGE_MIN_DIM = 512
        RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
        RPN_ANCHOR_RATIOS = (0.5, 1, 4)
        LEARNING_RATE = 0.01
        IMAGES_PER_GPU = 3
        NORM = "gn"
        BEST = "loss"

    model, run = settings(Mine(), start=None, epochs=5, layers="all")
    assert model.min_size_px == 512
    assert model.anchor_sizes_px == ((8,), (16,), (32,), (64,), (128,))
    assert model.anchor_ratios == (0.25, 1, 2), "height / width, where Matterport's are width / height"
    assert (model.backbone, model.rpn_nms) == (SMALL[0].backbone, SMALL[0].rpn_nms)
    assert (run.lr, run.peak_lr, run.batch, run.epochs) == (0.01, 0.01, 3, 5)
    assert run.optimizer == SMALL[1].optimizer
    assert (model.norm, run.best) == ("gn", "loss"), "maskrt's own, in capitals"
    said = capsys.readouterr().err
    assert "Mine.STEPS_PER_EPOCH = 100 has no part here: an epoch is every image once" in said
    assert "Mine.NAME" in said


def test_with_weights_the_model_is_theirs() -> None:
    class Mine(Config):
        DETECTION_MAX_INSTANCES = 7

    config = MaskRcnnConfig(num_classes=2, min_size_px=64)
    start = Checkpoint(config=config, classes=(Category(1, "nut"),), state_dict={})
    model, _ = settings(Mine(), start=start, epochs=None, layers="heads")
    assert (model.min_size_px, model.max_detections) == (64, 7)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("IMAGES_PRO_GPU", 2, "Mine.IMAGES_PRO_GPU: no such setting. Known: .*IMAGES_PER_GPU"),
        ("PRESET", "large", "PRESET is 'large', expected one of small, tiny, paper"),
        ("IMAGES_PER_GPU", 0, "batch is 0, expected at least 1"),
    ],
)
def test_a_wrong_config_is_named(name: str, value: Any, message: str) -> None:
    with pytest.raises(MaskrtError, match=message):
        settings(type("Mine", (Config,), {name: value})(), start=None, epochs=None, layers="all")
