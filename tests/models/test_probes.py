"""Probes of a model's parts: each setting that is another is measured and named, without an export or an image.

Both sides are the reference's own parts in PyTorch; the candidate's are set otherwise.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.ops.poolers import LevelMapper

from maskrt.models import find_family
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.parts.roi_features import Pooling
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.parity.probes.detections import DetectionProbes
from maskrt.models.rcnn.parity.probes.heads import HeadProbes
from maskrt.models.rcnn.parity.probes.pooling import PoolingProbes
from maskrt.models.rcnn.parity.probes.proposals import ProposalProbes
from maskrt.models.rcnn.parity.probes.setting import Setting
from maskrt.models.rcnn.reference.parts import EagerParts
from maskrt.runtime.contract import Category
from maskrt.runtime.parity.tolerances import STAGES_FP32

LEVELS = ("P2", "P3", "P4", "P5", "P6")
PROPOSALS, CONTENDERS = 100, 300
CONFIG = MaskRcnnConfig(
    backbone="resnet18",
    fpn_channels=16,
    mask_convs=(16,),
    num_classes=6,
    min_size_px=192,
    max_size_px=256,
    rpn_post_nms_test=PROPOSALS,
    rpn_pre_nms_test=CONTENDERS,
)
CLASSES = tuple(Category(i, f"class {i}") for i in range(1, 6))
Fault = Callable[[Any], None]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return find_family(CONFIG.family).build(CONFIG).eval()


@pytest.fixture(scope="module")
def probed(model: Any) -> Callable[..., dict[str, str]]:
    """By what each probe looks at, in order, the cause that it names; empty where nothing is wrong."""
    contract = Checkpoint(CONFIG, CLASSES, model.state_dict()).contract(height_px=192, width_px=256, batch=1)
    ours = EagerParts(model, contract)
    setting = Setting(contract, ours.cells, PROPOSALS, channels=16)

    def look(part: str, fault: Fault) -> dict[str, str]:
        other = copy.deepcopy(model)
        with torch.no_grad():
            fault(other)
        sides = ours, EagerParts(other, contract)
        if part == "proposals":
            found = ProposalProbes(setting, *sides).run()
        elif part == "detections":
            found = DetectionProbes(setting, *sides).run()
        elif part.endswith("_pooling"):
            found = PoolingProbes(setting, part, *sides).run()
        else:
            found = getattr(HeadProbes(setting, *sides, STAGES_FP32), part)()
        return {finding.about: finding.cause for finding in found}

    return look


def none(model: nn.Module) -> None: ...


def put(path: str, value: Any) -> Fault:
    """An attribute of a part of the model, otherwise."""
    where, _, name = path.rpartition(".")
    return lambda model: setattr(operator.attrgetter(where)(model), name, value)


def zeroed(name: str, rows: int | slice) -> Fault:
    def change(model: nn.Module) -> None:
        model.get_parameter(name)[rows] = 0

    return change


def taken_for(by: int) -> Fault:
    """Each class has the mask of the class so many further."""

    def change(model: Any) -> None:
        last = model.roi_heads.mask_predictor.mask_fcn_logits
        for values in (last.weight, last.bias):
            values[1:] = values[1:].roll(-by, 0)

    return change


def relabelled(order: list[int]) -> Fault:
    """Class i (1 to 5) of what is found is called order[i − 1]."""

    def change(model: Any) -> None:
        found = model.roi_heads.postprocess_detections

        def renamed(*given: Any) -> Any:
            boxes, scores, labels = found(*given)
            return boxes, scores, [torch.tensor([0, *order])[one] for one in labels]

        model.roi_heads.postprocess_detections = renamed

    return change


def scores_times(factor: float) -> Fault:
    def change(model: Any) -> None:
        found = model.roi_heads.postprocess_detections

        def scaled(*given: Any) -> Any:
            boxes, scores, labels = found(*given)
            return boxes, [one * factor for one in scores], labels

        model.roi_heads.postprocess_detections = scaled

    return change


def anchors(level: int, kind: int | slice, times: float = 1.0, moved: float = 0.0) -> Fault:
    def change(model: Any) -> None:
        cells = model.rpn.anchor_generator.cell_anchors
        cells[level] = cells[level].clone()
        cells[level][kind] = cells[level][kind] * times + moved

    return change


@pytest.mark.parametrize(
    ("part", "looked_at"),
    [
        ("proposals", ["decoding of box deltas", *(f"anchors of {level}" for level in LEVELS),
                       "least side of a proposal", "clamp of a proposal's growth", "clipping of proposals",
                       "NMS of the proposals", "score threshold of the proposals", "number of contenders a level",
                       "number of proposals", *(f"proposals of {level}" for level in LEVELS)]),
        ("box_pooling", [*(f"RoIs of {level}" for level in LEVELS[:4]), "samples"]),
        ("mask_pooling", [*(f"RoIs of {level}" for level in LEVELS[:4]), "samples"]),
        ("box_head", ["class_logits", "box_deltas"]),
        ("detections", ["each of 5 classes", "scores", "least side of a box", "decoding of box deltas",
                        "clamp of a box's growth", "clipping of boxes", "NMS", "NMS by class", "score threshold",
                        "number of detections"]),
        ("mask_head", ["mask_logits"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_of_the_same_model_everything_is_looked_at_and_nothing_is_wrong(
    part: str, looked_at: list[str], probed: Callable[..., dict[str, str]]
) -> None:
    assert probed(part, none) == dict.fromkeys(looked_at, "")


@pytest.mark.parametrize(
    ("part", "fault", "about", "cause"),
    [
        ("proposals", put("rpn.nms_thresh", 0.5), "NMS of the proposals",
         "NMS of the proposals drops from an IoU between 0.4903 and 0.5097, the reference's between 0.6842 and "
         "0.7036: another threshold"),
        ("proposals", put("rpn.score_thresh", 0.1), "score threshold of the proposals",
         "proposals are kept from a logit between -2.63 and -2.13, the reference's nowhere from -12.1 to 7.87: "
         "another score threshold"),  # the sigmoid of -2.2 is 0.1
        ("proposals", put("rpn.min_size", 3.0), "least side of a proposal",
         "proposals are kept from a least side in px between 2 and 4, "),
        ("proposals", put("rpn.box_coder.weights", (2.0, 1.0, 1.0, 0.5)), "decoding of box deltas",
         "proposals are decoded with other delta weights: dx 0.50, dy 1.00, dw 1.00, dh 2.00 times what is given"),
        ("proposals", put("rpn.box_coder.bbox_xform_clip", 0.8), "clamp of a proposal's growth",
         "a proposal grows to 2.23 times its anchor at most, the reference's to "),  # e to the 0.8
        ("proposals", put("rpn._pre_nms_top_n", {"training": 2000, "testing": 150}), "number of contenders a level",
         "proposals of a level contend up to rank between 149 and 158, the reference's between 286 and 303: another "
         "number a level before NMS"),
        ("proposals", put("rpn._post_nms_top_n", {"training": 2000, "testing": 60}), "number of proposals",
         "60 proposals are kept at most, the reference keeps 100"),
        ("proposals", anchors(1, slice(None), times=1.5), "anchors of P3",
         "anchors of P3: of another size, 1.5 times as wide and 1.5 times as high"),
        ("proposals", anchors(2, 0, moved=8), "anchors of P4",
         "anchors of P4 (1 of 3 kinds): moved by (+8, +8) px, (+0.5, +0.5) of a stride"),
        ("box_pooling", put("roi_heads.box_roi_pool.output_size", (5, 5)), "samples",
         "pools (16, 5, 5), the reference (16, 7, 7)"),
        ("mask_pooling", put("roi_heads.mask_roi_pool.pooling", Pooling(aligned=True)), "samples",
         "samples lie (-0.5, -0.5) cells off on every level: half a pixel (aligned)"),
        ("box_pooling", put("roi_heads.box_roi_pool.map_levels", LevelMapper(2, 5, 112, 4)), "RoIs of P2",
         "RoIs of 59 to 106 px are pooled from P3, another level of the pyramid than the reference's P2"),
        ("detections", put("roi_heads.score_thresh", 0.2), "score threshold",
         "detections are kept from a score between 0.1975 and 0.2025, the reference's between 0.0475 and 0.0525: "
         "another score threshold"),
        ("detections", put("roi_heads.nms_thresh", 0.3), "NMS",
         "NMS of the detections drops from an IoU between 0.295 and 0.305, the reference's between 0.495 and 0.505: "
         "another threshold"),
        ("detections", put("roi_heads.detections_per_img", 50), "number of detections",
         "50 detections are kept at most, the reference keeps 100"),
        ("detections", put("roi_heads.box_coder.weights", (10.0, 10.0, 5.0, 10.0)), "decoding of box deltas",
         "boxes are decoded with other weights: dh 10 where the reference has 5"),
        ("detections", put("roi_heads.box_coder.bbox_xform_clip", 2.0), "clamp of a box's growth",
         "a box grows to 7.39 times its proposal at most, the reference's to 62.5 times: another clamp of dw and "
         "dh, or of the border"),
        ("box_head", zeroed("roi_heads.box_predictor.cls_score.weight", 3), "class_logits",
         "class_logits differ for class 3"),
        ("box_head", zeroed("roi_heads.box_predictor.bbox_pred.weight", slice(8, 12)), "box_deltas",
         "box_deltas differ for class 2"),
        ("box_head", zeroed("roi_heads.box_head.fc6.weight", slice(None)), "class_logits",
         "class_logits differ for background, class 1, class 2 and 3 more"),
        ("mask_head", zeroed("roi_heads.mask_predictor.mask_fcn_logits.weight", 2), "mask_logits",
         "mask_logits differ for class 2"),
        *(("mask_head", taken_for(by), "mask_logits", f"mask_logits differ for class 1, class 2, class 3 and 2 more: "
           f"the mask of the class {by:+d} is taken") for by in (-2, -1, 1, 2)),
        ("detections", relabelled([2, 3, 4, 5, 6]), "each of 5 classes", "labels off by +1: class index"),
        ("detections", relabelled([1, 3, 2, 4, 5]), "each of 5 classes",
         "2 of 5 classes are taken for others or lost: class 1 is called 2"),
        ("detections", scores_times(0.5), "scores", "of equal logits a score of 0."),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)  # fmt: skip
def test_what_is_set_otherwise_is_measured(
    part: str, fault: Fault, about: str, cause: str, probed: Callable[..., dict[str, str]]
) -> None:
    found = probed(part, fault)
    assert found[about].startswith(cause) if cause.endswith((" ", " 0.")) else found[about] == cause


def test_a_wrong_anchor_hides_what_it_would_be_measured_with(probed: Callable[..., dict[str, str]]) -> None:
    """Thresholds are measured with boxes that only right anchors decode."""
    found = probed("proposals", anchors(1, slice(None), times=1.5))
    assert [about for about, cause in found.items() if cause] == ["anchors of P3", "proposals of P3"]
    assert "NMS of the proposals" not in found
