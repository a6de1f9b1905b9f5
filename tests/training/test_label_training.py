"""Label maps in the training loop: crops, mirrors and passes over the data; what is no data for a network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from maskrt.models.fcn.config import FcnConfig
from maskrt.models.rcnn.presets import TINY
from maskrt.runtime.contract import Canvas
from maskrt.runtime.errors import DataError, MaskrtError
from maskrt.training.config import TrainConfig
from maskrt.training.data import Dataset, load_dataset
from maskrt.training.loop.augment import augmentation
from maskrt.training.loop.fit import first_batches
from maskrt.training.loop.loader import TrainingImages
from maskrt.training.run import train

AS_IT_IS = Canvas(64, 512, 32, None, None, "uint8", "native")


@pytest.fixture(scope="module")
def scenes() -> Dataset:
    return load_dataset("synthetic:3:5").for_task("semantic")


def test_an_image_comes_with_its_label_map_and_nothing_else(scenes: Dataset) -> None:
    image, target = TrainingImages(scenes, AS_IT_IS, "none", 0)[1]
    assert image.shape == (3, 256, 320)
    assert target.keys() == {"semantic", "draw"}
    np.testing.assert_array_equal(target["semantic"], scenes[1].labels())


def test_labels_are_mirrored_with_their_image(scenes: Dataset) -> None:
    plain, mirrored = (
        next(TrainingImages(scenes, AS_IT_IS, "flip", seed)[0] for seed in range(20) if flips(seed) == turned)
        for turned in (False, True)
    )
    torch.testing.assert_close(mirrored[0], plain[0].flip(2))
    assert torch.equal(mirrored[1]["semantic"], plain[1]["semantic"].flip(1))


def flips(seed: int) -> bool:
    pair = tv_tensors.Image(torch.arange(4, dtype=torch.uint8).view(1, 1, 4))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return bool(augmentation("flip")(pair)[0, 0, 0] > 0)


@pytest.mark.parametrize(("crop_px", "scales"), [(96, (0.75, 2.0)), (96, (0.1, 0.1)), (320, (1.0, 1.0))])
def test_crops_are_squares_inside_the_image_whose_labels_are_never_mixed(
    crop_px: int, scales: tuple[float, float], scenes: Dataset
) -> None:
    """Of a picture that says its own labels, each pixel of a crop does too."""
    labels = torch.from_numpy(scenes[0].labels())
    picture = tv_tensors.Image((labels * 50)[None].expand(3, -1, -1).clone())
    for seed in range(6):
        torch.manual_seed(seed)
        crop, kept = augmentation("none", crop_px, scales)(picture, tv_tensors.Mask(labels))
        assert (crop.shape, kept.shape) == ((3, crop_px, crop_px), (crop_px, crop_px))
        assert set(kept.unique().tolist()) <= set(labels.unique().tolist())
        assert float(((crop[0] * 255 / 50).round() == kept).float().mean()) > 0.9


def test_a_pass_takes_every_image_once_and_each_anew(scenes: Dataset) -> None:
    config = TrainConfig(passes=4, batch=3, workers=0, augment="scenes", crop_px=64)
    draws = [t["draw"] for _, targets in first_batches(scenes, AS_IT_IS, config) for t in targets]
    assert Counter(draw % len(scenes) for draw in draws) == Counter(dict.fromkeys(range(3), 4))
    assert len(set(draws)) == 12


def test_crops_of_data_of_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MaskrtError, match=r"crop_px=64: only pictures with label maps are cut"):
        train(load_dataset("synthetic:2:0"), None, TINY, TrainConfig(crop_px=64), tmp_path / "run")


def test_a_network_that_finds_objects_does_not_take_label_maps(scenes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="do not tell objects apart"):
        train(scenes, None, TINY, TrainConfig(), tmp_path / "run")


def test_crop_scales_are_the_least_and_the_most() -> None:
    with pytest.raises(MaskrtError, match="crop_scales is"):
        TrainConfig(crop_scales=(2.0, 1.0))


def test_the_background_is_a_class_like_another(scenes: Dataset) -> None:
    assert [c.name for c in scenes.classes] == ["background", "disc", "square", "triangle", "star"]
    assert FcnConfig(num_classes=len(scenes.classes)).classes_found == 5
