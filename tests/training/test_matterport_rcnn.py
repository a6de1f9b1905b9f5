"""The rules of Matterport's Mask_RCNN in PyTorch, against what its definitions say (tests' own oracle)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

import maskrt.models.operators  # noqa: F401  registers the torch operators
from benchmarks.originals import matterport_oracle as oracle
from maskrt.models import find_family
from maskrt.models.parts.roi_features import Pooling, assign_levels, pool_pyramid
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.matterport.config import MatterportConfig
from maskrt.models.rcnn.matterport.graph import BestClassDetections
from maskrt.models.rcnn.matterport.network import CANONICAL_SCALE, build_matterport
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.runtime.errors import CheckpointError

SMALL: dict[str, Any] = {
    "backbone": "resnet18",
    "stride_in_1x1": False,
    "num_classes": 4,
    "fpn_channels": 8,
    "mask_convs": (8,) * 4,
}
# Of float32 positions up to 256 cells on values around 1: 1.5e-5 cells, and twice that where they are moved by
# half a cell and back.
POOLED = 1e-4
ANCHOR_PX = 1e-4  # float32 at 1000 px


def network(**changes: Any) -> Any:
    return build_matterport(MatterportConfig(**SMALL | changes)).eval()


@functools.cache
def generator() -> Any:
    return network().rpn.anchor_generator


def anchors_of(height: int, width: int) -> Tensor:
    maps = [torch.zeros(1, 8, -(-height // stride), -(-width // stride)) for stride in oracle.STRIDES]
    images = ImageList(torch.zeros(1, 3, height, width), [(height, width)])
    (found,) = generator()(images, maps)
    return found


def test_the_first_anchor_worked_out_by_hand() -> None:
    """32 px at a ratio of 0.5, width / height: 22.63 px wide, 45.25 px high, around the corner of the canvas.
    Its last column is 1 px before its right edge, 10.31; and 63 px, the last pixel of 64, become 64."""
    expected = [-11.3137 / 63 * 64, -22.6274 / 63 * 64, 10.3137 / 63 * 64, 21.6274 / 63 * 64]
    torch.testing.assert_close(anchors_of(64, 64)[0], torch.tensor(expected), atol=1e-3, rtol=0)
    assert len(anchors_of(64, 64)) == 3 * (16 * 16 + 8 * 8 + 4 * 4 + 2 * 2 + 1)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 192), (96, 160)])
def test_anchors_are_the_originals_in_their_order(height: int, width: int) -> None:
    expected = oracle.norm_boxes(oracle.anchors(height, width), height, width)[:, [1, 0, 3, 2]]
    actual = anchors_of(height, width).double() / torch.tensor([width, height, width, height])
    np.testing.assert_allclose(actual, expected, atol=ANCHOR_PX / 64, rtol=0)


def test_the_first_pooling_is_padded_at_the_end_alone() -> None:
    """Of 4 × 4 cells 0 to 15: rows 0 1 2 and 2 3, columns likewise; their largest are 10 11 / 14 15. Padded all
    around, as torchvision's, it would be rows 0 1 and 1 2 3: 5 7 / 13 15."""
    cells = torch.arange(16.0).view(1, 1, 4, 4)
    assert network().backbone.body.maxpool(cells).flatten().tolist() == [10, 11, 14, 15]
    plain = build_mask_rcnn(MaskRcnnConfig(backbone="resnet18", fpn_channels=8)).backbone.body
    assert plain.maxpool(cells).flatten().tolist() == [5, 7, 13, 15]


@pytest.mark.parametrize(
    ("side_px", "level"),
    [(10, 2), (79, 2), (80, 3), (158, 3), (159, 4), (224, 4), (316, 4), (317, 5), (900, 5)],
)
def test_a_level_changes_where_its_exponent_is_rounded_up(side_px: float, level: int) -> None:
    """224 / √2 = 158.4 px, and halves and doubles of that."""
    box = torch.tensor([[3.0, 5.0, 3.0 + side_px, 5.0 + side_px]])
    found = assign_levels(box, canonical_scale=CANONICAL_SCALE, canonical_level=4, lowest=2, highest=5)
    assert found.item() == level
    assert oracle.levels_of(box.numpy() / 1024, 1024.0**2).item() == level


fraction = st.floats(0, 1, width=32)


@settings(max_examples=60, database=None)
@given(box=st.tuples(*[fraction] * 4), size=st.sampled_from([1, 2, 7, 14]), stride=st.sampled_from([4, 32]))
def test_a_crop_is_crop_and_resize(box: tuple[float, ...], size: int, stride: int) -> None:
    height, width = 192, 320
    cells = torch.randn(1, 2, height // stride, width // stride, generator=torch.Generator().manual_seed(0))
    y1, x1, y2, x2 = *np.minimum(box[:2], box[2:]), *np.maximum(box[:2], box[2:])
    roi = torch.tensor([[x1 * width, y1 * height, x2 * width, y2 * height]])
    image = torch.zeros(1, dtype=torch.int32)
    pooled = pool_pyramid([cells], roi, image, (size, size), (stride,), Pooling("crop"))
    if size == 1:  # TensorFlow's documentation: the one sample is in the middle
        y1 = y2 = (y1 + y2) / 2
        x1 = x2 = (x1 + x2) / 2
    expected = oracle.crop_and_resize(cells[0].double().numpy(), np.array([y1, x1, y2, x2]), size)
    np.testing.assert_allclose(pooled[0], expected, atol=POOLED * 4, rtol=0)


def test_a_crops_outer_samples_lie_on_its_corners() -> None:
    """A map of 4 × 4 cells at a stride of 8 holds its columns' numbers. The whole canvas of 32 px goes from the
    middle of cell 0 to that of cell 3: 0, 1.5, 3. RoIAlign would sample the middles of three bins."""
    columns = torch.arange(4.0).expand(1, 1, 4, 4).contiguous()
    whole, image = torch.tensor([[0.0, 0.0, 32.0, 32.0]]), torch.zeros(1, dtype=torch.int32)
    crop = pool_pyramid([columns], whole, image, (3, 3), (8,), Pooling("crop"))
    align = pool_pyramid([columns], whole, image, (3, 3), (8,), Pooling("align", "avg", 1, True))
    assert crop[0, 0, 0].tolist() == [0.0, 1.5, 3.0]
    assert not torch.allclose(align, crop, atol=0.1)


class Told(nn.Module):
    """Says what it was told, whatever it is asked."""

    def __init__(self, *answers: Tensor) -> None:
        super().__init__()
        self.answers = answers

    def forward(self, *_: Any) -> tuple[Tensor, ...]:
        return self.answers


HEIGHT, WIDTH, TOP = 64, 128, 12
PICTURE = (40, 128)  # in the middle: 12 rows of padding above and below


def detected(rois: np.ndarray, logits: np.ndarray, deltas: np.ndarray) -> tuple[Any, Any]:
    """What the PyTorch heads find of RoIs (R, 4) y1 x1 y2 x2 of 0–1, and what the exported graph does.

    logits: (R, classes); deltas: (R, classes, 4) dy dx dh dw. Each gives boxes, labels from 1, scores.
    """
    model = network(task="detection", max_detections=20)
    sides = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
    own = torch.from_numpy(rois[:, [1, 0, 3, 2]] * sides).float()
    rows = torch.from_numpy(deltas[:, :, [1, 0, 3, 2]]).float().flatten(1)
    heads = model.roi_heads
    heads.box_head, heads.box_predictor = nn.Identity(), Told(torch.from_numpy(logits).float(), rows)
    maps = {str(i): torch.zeros(1, 8, HEIGHT // s, WIDTH // s) for i, s in enumerate((4, 8, 16, 32))}
    ((found,), _) = heads(maps, [own], [PICTURE])
    graph = BestClassDetections(model)
    count, boxes, scores, labels = graph(
        torch.zeros(len(rois), 8, 7, 7),
        own[None],
        torch.tensor([len(rois)], dtype=torch.int32),
        torch.tensor([PICTURE], dtype=torch.float32),
        torch.zeros(1, 3, HEIGHT, WIDTH),
        {},
    )
    kept = slice(int(count))
    return (found["boxes"], found["labels"], found["scores"]), (
        boxes[0, kept],
        labels[0, kept] + 1,
        scores[0, kept],
    )


def test_detections_are_refined_as_the_original_refines_them() -> None:
    random = np.random.default_rng(3)
    corner, size = random.uniform(0, 0.7, (60, 2)), random.uniform(0.05, 0.3, (60, 2))
    rois = np.concatenate([corner, corner + size], axis=1)
    logits, deltas = random.normal(0, 2, (60, 4)), random.normal(0, 1, (60, 4, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    window = oracle.norm_boxes(np.array([[TOP, 0, TOP + PICTURE[0], WIDTH]]), HEIGHT, WIDTH)[0]
    boxes, classes, scores = oracle.refine_detections(rois, probabilities, deltas, window, 0.05)
    edges = boxes * (np.array([HEIGHT, WIDTH] * 2) - 1) + [0, 0, 1, 1] - [TOP, 0, TOP, 0]
    assert len(boxes) > 20
    for found in detected(rois, logits, deltas):
        assert found[1].tolist() == classes[:20].tolist()
        np.testing.assert_allclose(found[0], edges[:20][:, [1, 0, 3, 2]], atol=1e-4, rtol=0)
        np.testing.assert_allclose(found[2], scores[:20], atol=1e-6, rtol=0)
    assert (edges[:, 0] == 0).any(), "some box is cut off at the picture's edge, not at the canvas'"


def test_a_region_that_is_likeliest_background_is_of_no_class() -> None:
    """0.4 background, 0.35 of class 1: torchvision would find the class."""
    roi, logits = np.array([[0.3, 0.2, 0.6, 0.5]]), np.log([[0.4, 0.35, 0.15, 0.1]])
    for found in detected(roi, logits, np.zeros((1, 4, 4))):
        assert len(found[0]) == 0
    for found in detected(roi, np.log([[0.3, 0.35, 0.2, 0.15]]), np.zeros((1, 4, 4))):
        assert found[1].tolist() == [1]
        expected = [0.2 * 127, 0.3 * 63 - TOP, 0.5 * 127 + 1, 0.6 * 63 + 1 - TOP]
        torch.testing.assert_close(found[0], torch.tensor([expected]), atol=1e-4, rtol=0)


def test_it_is_not_trained() -> None:
    model = network().train()
    with pytest.raises(CheckpointError, match="can be run and exported, not trained"):
        model(
            [torch.zeros(3, 64, 64)],
            [{"boxes": torch.tensor([[1.0, 1.0, 9.0, 9.0]]), "labels": torch.tensor([1])}],
        )


@pytest.mark.parametrize("changes", [{"backbone": "mobilenet_v3_large"}, {"neck": "c4"}])
def test_what_matterport_has_not_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="rules"):
        MatterportConfig(**SMALL | changes)


@pytest.mark.parametrize(
    ("rules", "family"), [("matterport", "matterport_rcnn"), ("torchvision", "mask_rcnn")]
)
def test_a_checkpoint_from_before_the_family_names_it_by_its_rules(rules: str, family: str) -> None:
    config = find_family("mask_rcnn").read_config({"backbone": "resnet18", "rules": rules})

    assert config.family == family
