"""Keypoints from a COCO file into the network's targets, and their loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models.detection.roi_heads import keypointrcnn_loss

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.transfer import take_over
from maskrt.runtime.contract import Canvas, Category, Keypoints
from maskrt.runtime.errors import CheckpointError, DataError
from maskrt.runtime.tasks import task_named
from maskrt.runtime.tasks.instances.drawing.draw import POINT_SCORE
from maskrt.training.config import TrainConfig
from maskrt.training.data import load_dataset
from maskrt.training.loop.loader import TrainingImages
from maskrt.training.run import train

NAMES = ["nose", "left_hand", "right_hand"]
POINT_LAYER = "roi_heads.keypoint_predictor.kps_score_lowres"
AS_IT_IS = Canvas(30, 40, 32, None, None, "uint8")  # the pictures of write_dataset are 30 x 40 pixels
Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def people(coco_document: dict[str, Any]) -> dict[str, Any]:
    """The two images of coco_document with two people: the hidden right hand of one is not labelled."""
    coco_document["categories"] = [
        {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}
    ]
    coco_document["annotations"] = [
        one | {"category_id": 1} for one in coco_document["annotations"] if not one["iscrowd"]
    ]
    first, second = coco_document["annotations"]
    first["keypoints"], second["keypoints"] = [3, 4, 2, 10, 6, 1, 0, 0, 0], [6, 7, 2, 8, 9, 2, 14, 20, 2]
    return coco_document


def test_points_are_read_with_their_names_and_skeleton(people: dict[str, Any], write_dataset: Write) -> None:
    dataset = load_dataset(write_dataset(people))
    assert dataset.keypoints == Keypoints(tuple(NAMES), ((0, 1), (0, 2)))
    assert dataset.keypoints.mirrored == (0, 2, 1)
    assert dataset[0].instances[0].keypoints == ((3, 4, 2), (10, 6, 1), (0, 0, 0))
    written = dataset.to_coco()["annotations"]
    assert [one["num_keypoints"] for one in written] == [2, 3]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([3, 4, 2], "3 numbers, expected 9"),
        ([3, 4, 2, 10, 6, 7, 0, 0, 0], "visibility 7, expected 0, 1 or 2"),
        ([3, 4, 2, 90, 6, 1, 0, 0, 0], "keypoints spans x 90 to 90"),
        ([3, 4, 2, "x", 6, 1, 0, 0, 0], "expected a list of numbers"),
    ],
)
def test_a_bad_point_is_named_with_its_annotation(
    values: list[Any], reason: str, people: dict[str, Any], write_dataset: Write
) -> None:
    people["annotations"][0]["keypoints"] = values
    with pytest.raises(DataError, match=rf"a\.png, annotation 100: .*{reason}"):
        load_dataset(write_dataset(people))


@pytest.mark.parametrize("skeleton", [[[1, 4]], [[1]], 3, {"a": 1}])
def test_a_skeleton_that_is_no_pairs_of_the_points_is_refused(
    skeleton: Any, people: dict[str, Any], write_dataset: Write
) -> None:
    people["categories"][0]["skeleton"] = skeleton
    with pytest.raises(DataError, match="pairs of numbers from 1 to 3"):
        load_dataset(write_dataset(people))


@pytest.mark.parametrize("seed", range(4))
def test_in_a_mirror_left_and_right_change_places(
    seed: int, people: dict[str, Any], write_dataset: Write
) -> None:
    dataset = load_dataset(write_dataset(people))
    plain = TrainingImages(dataset, AS_IT_IS, "none", seed)[1]
    flipped = TrainingImages(dataset, AS_IT_IS, "flip", seed)[1]
    was_flipped = not torch.equal(plain[0], flipped[0])
    expected = plain[1]["keypoints"].clone()
    if was_flipped:
        expected = expected[:, [0, 2, 1]]
        expected[..., 0] = 39 - expected[..., 0]
    assert torch.equal(flipped[1]["keypoints"], expected)


def test_both_flips_together_are_no_mirror(people: dict[str, Any], write_dataset: Write) -> None:
    """Upside down and mirrored is turned by 180°: a left hand stays one. All four cases occur."""
    dataset = load_dataset(write_dataset(people))
    plain = TrainingImages(dataset, AS_IT_IS, "none", 0)[1][1]["keypoints"][0]
    seen = set()
    for seed in range(40):
        points = TrainingImages(dataset, AS_IT_IS, "full", seed)[1][1]["keypoints"][0]
        across, down = (bool(points[0, axis] != plain[0, axis]) for axis in (0, 1))
        expected = plain[[0, 2, 1]] if across != down else plain
        expected = expected.clone()
        expected[:, 0] = 39 - expected[:, 0] if across else expected[:, 0]
        expected[:, 1] = 29 - expected[:, 1] if down else expected[:, 1]
        assert torch.equal(points, expected)
        seen.add((across, down))
    assert len(seen) == 4


def test_labelled_points_are_drawn_over_the_annotations(people: dict[str, Any], write_dataset: Write) -> None:
    dataset = load_dataset(write_dataset(people))
    truth = task_named(dataset.task).truth(dataset[0], dataset)
    assert truth.keypoints is not None
    assert truth.keypoints[0, :, :2].tolist() == [[3, 4], [10, 6], [0, 0]]
    assert (truth.keypoints[0, :, 2] > POINT_SCORE).tolist() == [True, True, False]
    assert truth.skeleton == ((0, 1), (0, 2))


def test_what_is_not_labelled_stays_so(people: dict[str, Any], write_dataset: Write) -> None:
    dataset = load_dataset(write_dataset(people))
    target = TrainingImages(dataset, AS_IT_IS, "none", 0)[0][1]
    assert target["keypoints"].tolist() == [[[3, 4, 1], [10, 6, 1], [0, 0, 0]]]


def test_on_a_stretched_canvas_each_axis_has_a_scale_of_its_own(
    people: dict[str, Any], write_dataset: Write
) -> None:
    dataset = load_dataset(write_dataset(people))
    plain = TrainingImages(dataset, AS_IT_IS, "none", 0)[0][1]
    wide = Canvas(60, 60, 1, 60, 160, "uint8", "stretch")  # twice as high, four times as wide
    image, target = TrainingImages(dataset, wide, "none", 0)[0]
    assert image.shape == (3, 60, 160)
    assert target["masks"].shape[1:] == (60, 160)
    torch.testing.assert_close(target["boxes"], plain["boxes"] * torch.tensor([4.0, 2.0, 4.0, 2.0]))
    torch.testing.assert_close(target["keypoints"], plain["keypoints"] * torch.tensor([4.0, 2.0, 1.0]))
    drawn = target["masks"][0].nonzero().float()  # rows and columns
    centre = (target["boxes"][0, :2] + target["boxes"][0, 2:]) / 2
    assert (drawn.mean(dim=0).flip(0) - centre).abs().max() < 8


def test_the_loss_is_a_softmax_over_the_cells_of_the_labelled_points() -> None:
    """By hand: logit a in the right cell of m² and 0 elsewhere gives log(1 + (m² − 1)·exp(−a))."""
    side, right = 4, 2.0
    logits = torch.zeros(1, 2, side, side)
    logits[0, 0, 1, 2] = right
    box = torch.tensor([[0.0, 0.0, 8.0, 8.0]])  # two px a cell
    points = torch.tensor([[[5.0, 3.0, 1.0], [0.0, 0.0, 0.0]]])  # the second is not labelled
    loss = keypointrcnn_loss(logits, [box], [points], [torch.tensor([0])])
    assert loss.item() == pytest.approx(math.log(1 + (side**2 - 1) * math.exp(-right)))


def test_a_data_set_without_points_cannot_teach_any(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no keypoints.*person_keypoints_train2017\.json"):
        train(load_dataset("synthetic:2:0"), None, MaskRcnnConfig(task="keypoint"), TrainConfig(), tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nose", "left_ear", "right_ear"], "other keypoints than those of"),
        (NAMES, r"have \[3\] points an object, expected COCO's 17 .* leave --val out"),
    ],
)
def test_validation_data_whose_points_cannot_be_judged_are_refused_at_once(
    names: list[str], message: str, people: dict[str, Any], write_dataset: Write, tmp_path: Path
) -> None:
    dataset = load_dataset(write_dataset(people))
    people["categories"][0]["keypoints"] = names
    validation = load_dataset(write_dataset(people))
    with pytest.raises(DataError, match=message):
        train(dataset, validation, MaskRcnnConfig(task="keypoint"), TrainConfig(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_points_of_other_names_are_learned_anew() -> None:
    narrow = {"backbone": "resnet18", "fpn_channels": 16, "keypoint_convs": (8,)}
    config = MaskRcnnConfig(task="keypoint", num_classes=2, num_keypoints=3, **narrow)  # type: ignore[arg-type]
    weights = build_mask_rcnn(config).state_dict()
    start = Checkpoint(config, (Category(1, "person"),), weights, keypoints=Keypoints(tuple(NAMES), ()))
    other = Keypoints(("tail", *NAMES[1:]), ())
    assert take_over(start.build(), start, start.classes, start.keypoints) == []
    left_out = take_over(start.build(), start, start.classes, other)
    assert left_out == [f"{POINT_LAYER}.weight", f"{POINT_LAYER}.bias"]


def test_a_checkpoint_names_as_many_points_as_it_finds() -> None:
    config = MaskRcnnConfig(task="keypoint", num_classes=2, num_keypoints=17)
    with pytest.raises(CheckpointError, match="names 3 keypoints, but its keypoint_rcnn finds 17"):
        Checkpoint(config, (Category(1, "person"),), {}, keypoints=Keypoints(tuple(NAMES), ()))
