"""YOLACT++: deformable blocks, and scores that a network gives to masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from benchmarks.samples import scene
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.yolact.config import PUBLISHED_PLUS, YolactConfig
from maskrt.models.yolact.deformable import DeformableConv
from maskrt.models.yolact.graph import YolactGraph
from maskrt.models.yolact.network import Yolact
from maskrt.models.yolact.presets import TINY
from maskrt.models.yolact.random_weights import randomise
from maskrt.models.yolact.reference import YolactReference
from maskrt.models.yolact.rescoring import LEAST_CELLS, MaskIou, iou_loss, rescored
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import CheckpointError
from maskrt.runtime.preprocess import preprocess

PLUS = replace(
    TINY,
    num_classes=3,
    deformable_every=1,
    mask_iou=True,
    prior_sizes_px=PUBLISHED_PLUS.prior_sizes_px,
    max_detections=30,
)
CLASSES = (Category(1, "a"), Category(2, "b"))


@pytest.fixture(scope="module")
def confident() -> Yolact:
    torch.manual_seed(0)
    model = Yolact(PLUS)
    canvas = Checkpoint(PLUS, CLASSES, model.state_dict()).contract().canvas
    picture = preprocess([scene(1)], canvas).images[0]
    return randomise(model, torch.from_numpy(picture).permute(2, 0, 1) / 255)


@pytest.mark.parametrize("outputs", ["factors", "masks"])
def test_the_graph_finds_what_the_reference_finds(confident: Yolact, outputs: str) -> None:
    confident.config = replace(PLUS, mask_outputs=outputs)
    checkpoint = Checkpoint(confident.config, CLASSES, confident.state_dict())
    contract = checkpoint.contract()
    batch = preprocess([scene(1)], contract.canvas)

    with torch.no_grad():
        found = YolactGraph(confident)(torch.from_numpy(batch.images), torch.from_numpy(batch.image_sizes))
    expected = YolactReference(confident, contract, name="eager").infer(batch.images, batch.image_sizes)

    assert int(found[0]) > 10
    for name, got in zip(contract.output_names, found, strict=False):
        np.testing.assert_allclose(got.numpy(), expected[name], atol=2e-4, err_msg=name)
    assert (np.diff(expected["scores"][0]) <= 0).all()


def test_every_third_block_is_deformable_from_the_first_on() -> None:
    with torch.device("meta"):
        model = Yolact(replace(PUBLISHED_PLUS, backbone="resnet101", channels=8))
    deformed = [name for name, module in model.named_modules() if isinstance(module, DeformableConv)]
    blocks = {2: (0, 3), 3: range(0, 23, 3), 4: (0,)}
    assert deformed == [f"backbone.body.layer{s}.{b}.conv2" for s, each in blocks.items() for b in each]
    assert model.backbone.body["layer3"][0].conv2.stride == (2, 2)


def test_a_new_deformable_convolution_moves_nothing_and_counts_a_half() -> None:
    plain = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
    deformable = DeformableConv(plain)
    deformable.weight = plain.weight
    values = torch.randn(1, 4, 9, 10)
    torch.testing.assert_close(deformable(values), plain(values) / 2)


def judge(seed: int = 0) -> MaskIou:
    torch.manual_seed(seed)
    return MaskIou(3).eval()


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    """Of any number and size of masks."""
    shape = {0: "count", 1: "height", 2: "width"}
    program = torch.onnx.export(
        judge(), (torch.rand(2, 70, 80),), dynamic_shapes=(shape,), dynamo=True, verbose=False
    )
    assert program is not None
    return onnxruntime.InferenceSession(program.model_proto.SerializeToString())


@pytest.mark.parametrize("size", [(138, 138), (63, 64), (90, 126), (20, 200), (1, 1)], ids=str)
def test_a_graph_of_any_size_judges_masks_alike(
    session: onnxruntime.InferenceSession, size: tuple[int, int]
) -> None:
    """What is padded beyond a small map, or always where the size is not known, is not seen."""
    masks = torch.rand(3, *size)
    (found,) = session.run(None, {session.get_inputs()[0].name: masks.numpy()})
    np.testing.assert_allclose(found, judge()(masks).detach().numpy(), atol=1e-5)


def test_a_score_is_that_of_the_box_times_what_is_said_of_its_class() -> None:
    masks, scores, labels = (
        torch.rand(4, 70, 70),
        torch.tensor([0.9, 0.8, 0.7, 0.6]),
        torch.tensor([0, 2, 1, 2]),
    )
    said = judge()(masks)
    expected = scores * torch.stack([said[row, label] for row, label in enumerate(labels)])
    torch.testing.assert_close(rescored(judge(), masks, scores, labels), expected)


class Said(MaskIou):
    """A net that always says the same."""

    def forward(self, masks: Tensor) -> Tensor:
        return torch.full((len(masks), 2), 0.25)


def test_what_is_learned_is_the_iou_of_masks_that_are_not_small() -> None:
    wanted = torch.zeros(3, LEAST_CELLS, LEAST_CELLS)
    wanted[0, :10, :10] = 1
    wanted[1, :10, :10] = 1
    wanted[2, :5, :5] = 1  # 25 cells are too few
    predicted = torch.zeros_like(wanted)
    predicted[0, :10, :5] = 0.9  # half of it
    predicted[1, :10, :10] = 0.9
    loss = iou_loss(Said(2), predicted, wanted, torch.tensor([0, 1, 0]))
    torch.testing.assert_close(loss, torch.tensor((0.25**2 + 0.75**2) / 2))
    assert iou_loss(Said(2), predicted[2:], wanted[2:], torch.tensor([0])) == 0


def test_it_learns(confident: Yolact) -> None:
    """Each part that it has beside YOLACT's gets a gradient."""
    torch.manual_seed(0)
    model = Yolact(replace(PLUS, prior_sizes_px=TINY.prior_sizes_px)).train()
    target: dict[str, Any] = {
        "boxes": torch.tensor([[40.0, 30.0, 150.0, 140.0]]),
        "labels": torch.tensor([1]),
        "masks": torch.ones(1, 192, 256, dtype=torch.uint8),
    }
    losses = model([torch.rand(3, 192, 256)], [target])
    assert set(losses) == {"loss_class", "loss_box", "loss_mask", "loss_mask_iou", "loss_semantic"}
    sum(losses.values()).backward()
    names = ("mask_iou.layers.0.weight", "backbone.body.layer3.0.conv2.offsets.weight")
    for name in names:
        gradient = model.get_parameter(name).grad
        assert gradient is not None
        assert torch.isfinite(gradient).all()
        assert gradient.abs().sum() > 0, name


def test_only_residual_blocks_are_deformable() -> None:
    with pytest.raises(CheckpointError, match="deformable_every is 1 with darknet53, expected 0"):
        YolactConfig(backbone="darknet53", deformable_every=1)
