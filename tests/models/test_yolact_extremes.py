"""From pictures to masks at the edges: one class, hundreds, nothing found, several pictures, the smallest and the longest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.samples import scene
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.yolact.config import YolactConfig
from maskrt.models.yolact.graph import YolactGraph
from maskrt.models.yolact.network import Yolact
from maskrt.models.yolact.presets import TINY
from maskrt.models.yolact.random_weights import randomise
from maskrt.models.yolact.reference import YolactReference
from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Category, Contract
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.tasks.instances.decode import postprocess
from maskrt.runtime.tasks.instances.result import Result

FEW = replace(TINY, channels=16, max_detections=20)


def confident(config: YolactConfig) -> tuple[Yolact, Contract]:
    """A network that finds objects in a scene, and what its file promises, whatever the size of pictures."""
    torch.manual_seed(0)
    model = Yolact(config)
    classes = tuple(Category(number, f"class {number}") for number in range(1, config.num_classes))
    contract = Checkpoint(config, classes, model.state_dict()).contract()
    picture = preprocess([scene(1)], contract.canvas).images[0]
    return randomise(model, torch.from_numpy(picture).permute(2, 0, 1) / 255), contract


def results(model: Yolact, contract: Contract, pictures: list[NDArray]) -> list[Result]:
    """What a user gets of pictures, in one call; held to the reference on the way."""
    batch = preprocess(pictures, contract.canvas)
    with torch.no_grad():
        made = YolactGraph(model)(torch.from_numpy(batch.images), torch.from_numpy(batch.image_sizes))
    outputs = {name: value.numpy() for name, value in zip(contract.output_names, made, strict=False)}
    expected = YolactReference(model, contract, name="eager").infer(batch.images, batch.image_sizes)
    for name, values in outputs.items():
        np.testing.assert_allclose(values, expected[name], atol=2e-4, err_msg=name)
    found = postprocess(Outputs(outputs), batch, contract)
    for one, picture in zip(found, pictures, strict=True):
        assert one.masks is not None
        assert one.masks.shape == (len(one), *picture.shape[:2])
    return found


@pytest.mark.parametrize("classes", [1, 300])
@pytest.mark.parametrize("settings", [{}, {"mask_iou": True}, {"nms_kind": "greedy"}], ids=str)
def test_one_class_and_three_hundred(classes: int, settings: dict[str, Any]) -> None:
    model, contract = confident(replace(FEW, num_classes=classes + 1, **settings))
    (found,) = results(model, contract, [scene(1)])
    assert len(found) == 20
    assert set(found.labels) <= set(range(classes))


@pytest.mark.parametrize("settings", [{}, {"mask_iou": True}, {"mask_outputs": "masks"}], ids=str)
def test_nothing_found(settings: dict[str, Any]) -> None:
    model, contract = confident(replace(FEW, num_classes=2, score_threshold=1.0, **settings))
    (found,) = results(model, contract, [scene(1)])
    assert len(found) == 0


def test_four_pictures_at_once_are_four_pictures() -> None:
    model, contract = confident(replace(FEW, num_classes=4))
    picture = scene(1)
    pictures = [picture, picture[:, ::-1].copy(), picture[::-1].copy(), picture[::-1, ::-1].copy()]
    together = results(model, contract, pictures)
    alone = [results(model, contract, [picture])[0] for picture in pictures]
    for one, other in zip(together, alone, strict=True):
        assert len(one) == len(other)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (20000, 50), (50, 20000)], ids=str)
@pytest.mark.parametrize("placement", ["corner", "stretch"])
def test_the_smallest_picture_and_the_longest(size: tuple[int, int], placement: str) -> None:
    model, contract = confident(replace(FEW, num_classes=2, placement=placement, max_detections=2))
    (found,) = results(model, contract, [np.full((*size, 3), 90, np.uint8)])
    assert ((found.boxes >= 0) & (found.boxes <= np.array([size[1], size[0]] * 2))).all()
