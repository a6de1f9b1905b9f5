"""Mask R-CNN (arXiv:1703.06870) on a feature pyramid or on C4, from torchvision's building blocks.

Every hyper-parameter of the detector is in `MaskRcnnConfig`; its defaults are torchvision's
`maskrcnn_resnet50_fpn`, whose checkpoints load unchanged and give bit-identical results.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from torchvision.models.detection import FasterRCNN, KeypointRCNN, MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead

from runtime.errors import CheckpointError
from runtime.stages import layout_of
from training.models.anchors import anchor_generator
from training.models.backbones import BACKBONES, NORMS, C4Backbone, FpnBackbone, build_body, norm_layer
from training.models.c4 import Res5Head, SharedRes5
from training.models.keypoint_rcnn import keypoint_branch
from training.models.limits import check_ranges
from training.models.mask_branch import (
    MASK_ACTIVATIONS,
    MASK_HEADS,
    SoftmaxMaskHeads,
    build_mask_head,
    build_mask_predictor,
)
from training.models.matterport_rcnn import CANONICAL_SCALE, StretchedAnchors, by_matterports_rules
from training.models.roi_features import CANONICAL_SCALE_PX, ROI_POOLS, Pooling, RoiPooler

#: By task: what the network is called, and torchvision's class of it.
NETWORKS = {
    "instance": ("mask_rcnn", MaskRCNN),
    "detection": ("faster_rcnn", FasterRCNN),
    "keypoint": ("keypoint_rcnn", KeypointRCNN),
}
NECKS = ("fpn", "c4")
RULES = ("torchvision", "matterport")
BOX_WIDTH = 1024  # of a pyramid's box head (arXiv:1612.03144, section 4.2)


@dataclass(frozen=True)
class MaskRcnnConfig:
    """Every hyper-parameter of the detector. Sizes in pixels of the canvas, thresholds as IoU or score."""

    # "instance", or without the mask branch: "detection", Faster R-CNN; "keypoint", Keypoint R-CNN
    task: str = "instance"
    num_classes: int = 91  # with background, which is class 0 inside the network
    backbone: str = "resnet50"
    neck: str = "fpn"  # or "c4": no pyramid, and the ResNet's last layer as the head; use the settings of C4
    # For the anchors, the choice of proposals and of detections, and the canvas: torchvision's, or with the
    # settings of training.models.matterport_rcnn.SETTINGS Matterport's, for inference alone.
    rules: str = "torchvision"
    stride_in_1x1: bool = False  # of the backbone's blocks, as in Detectron's Caffe weights
    norm: str = "frozen_bn"  # of the backbone: "frozen_bn" with ImageNet weights; "bn" or "gn" from scratch
    frozen_bn_epsilon: float = 1e-5
    fpn_channels: int = 256
    fpn_norm: bool = False  # batch norm in the FPN, as in torchvision's _v2
    # Image
    min_size_px: int = 800
    max_size_px: int = 1333
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    # Region proposal network (arXiv:1506.01497)
    anchor_sizes_px: tuple[tuple[int, ...], ...] = ((32,), (64,), (128,), (256,), (512,))  # a tuple a level
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    exact_anchors: bool = False  # not rounded to whole pixels, as Detectron2's: training/models/anchors.py
    rpn_convs: int = 1
    rpn_pre_nms_train: int = 2000  # per level
    rpn_pre_nms_test: int = 1000
    rpn_post_nms_train: int = 2000  # per image
    rpn_post_nms_test: int = 1000
    rpn_nms: float = 0.7
    rpn_score_threshold: float = 0.0  # least probability of a proposal
    rpn_foreground_iou: float = 0.7
    rpn_background_iou: float = 0.3
    rpn_samples: int = 256
    rpn_positive_fraction: float = 0.5
    # Box head (Fast R-CNN, arXiv:1504.08083)
    box_head: str = (
        "mlp"  # "mlp": two fully connected layers; "conv": four convolutions with BN and one layer
    )
    box_roi_size: int = 7
    box_foreground_iou: float = 0.5
    box_background_iou: float = 0.5
    box_samples: int = 512
    box_positive_fraction: float = 0.25
    box_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)  # of dx, dy, dw, dh
    score_threshold: float = 0.05
    nms: float = 0.5
    max_detections: int = 100
    # Mask branch (training/models/mask_branch.py)
    mask_head: str = "fcn"  # "fcn": mask_convs, then a deconvolution; "mlp": two fully connected layers
    mask_activation: str = "sigmoid"  # "softmax": the classes compete for each pixel
    mask_class_agnostic: bool = False  # one mask for whatever class
    mask_convs: tuple[int, ...] = (256, 256, 256, 256)
    mask_norm: bool = False  # batch norm in the mask head, as in torchvision's _v2
    mask_roi_size: int = 14
    # Keypoint branch (training/models/keypoint_rcnn.py)
    num_keypoints: int = 17
    keypoint_convs: tuple[int, ...] = (512,) * 8
    keypoint_roi_size: int = 14
    # RoI features (training/models/roi_features.py)
    roi_pool: str = "align_avg"  # one of ROI_POOLS
    sampling_ratio: int = 2  # samples of a bin along an axis; 0: one a cell
    roi_aligned: bool = False  # with the half pixel, as in Detectron2 and MMDetection

    def __post_init__(self) -> None:
        for name, got, allowed in (
            ("task", self.task, tuple(NETWORKS)),
            ("backbone", self.backbone, BACKBONES),
            ("neck", self.neck, NECKS),
            ("rules", self.rules, RULES),
            ("norm", self.norm, NORMS),
            ("box_head", self.box_head, ("mlp", "conv")),
            ("mask_head", self.mask_head, MASK_HEADS),
            ("mask_activation", self.mask_activation, MASK_ACTIVATIONS),
            ("roi_pool", self.roi_pool, ROI_POOLS),
        ):
            if got not in allowed:
                raise CheckpointError(f"model configuration: {name} is {got!r}, expected one of {allowed}.")
        check_ranges(vars(self))
        if self.mask_class_agnostic and self.mask_activation == "softmax":
            raise CheckpointError(
                "model configuration: mask_activation is 'softmax' with mask_class_agnostic, expected "
                "'sigmoid': one mask for whatever class leaves no classes to compete."
            )
        least = 1 if self.roi_pool in ("align_max", "warp_max") else 0
        if self.sampling_ratio < least:
            raise CheckpointError(
                f"model configuration: sampling_ratio is {self.sampling_ratio}, expected at least {least} "
                f"with roi_pool {self.roi_pool!r}."
            )
        if self.neck == "c4" and not (self.backbone.startswith("res") and self.mask_head == "fcn"):
            raise CheckpointError(
                f"model configuration: neck is 'c4' with {self.backbone} and mask_head {self.mask_head!r}, "
                "expected a ResNet or ResNeXt and 'fcn'."
            )
        if self.by_matterport and not (self.neck == "fpn" and self.backbone.startswith("res")):
            raise CheckpointError(
                f"model configuration: rules are 'matterport' with {self.backbone} and neck {self.neck!r}, "
                "expected a ResNet and 'fpn'."
            )
        levels = layout_of(vars(self)).levels
        if len(self.anchor_sizes_px) != len(levels):
            raise CheckpointError(
                f"model configuration: anchor_sizes_px is of {len(self.anchor_sizes_px)} levels, but the "
                f"RPN of {self.backbone} with neck {self.neck} reads {', '.join(levels)}. Start from its own "
                "preset: maskrt train --preset c4 or mobilenet"
            )

    @property
    def family(self) -> str:
        """What the network of this task is called."""
        return NETWORKS[self.task][0]

    @property
    def by_matterport(self) -> bool:
        """Whether it follows training.models.matterport_rcnn."""
        return self.rules == "matterport"

    @property
    def mask_size(self) -> int:
        """Side of a mask: that of its RoI, halved by res5 on C4, doubled by the deconvolution."""
        return 2 * (-(-self.mask_roi_size // 2) if self.neck == "c4" else self.mask_roi_size)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored in checkpoints and contracts."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MaskRcnnConfig:
        """Read back `to_dict`, from JSON too. Raises CheckpointError on unknown keys."""
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise CheckpointError(
                f"model configuration has unknown fields {unknown}: it was written by a newer maskrt. "
                "Upgrade maskrt, or train again with this version."
            )
        return cls(**{key: _as_tuple(value) for key, value in values.items()})


#: torchvision's maskrcnn_resnet50_fpn_v2 (arXiv:2111.11429).
V2 = MaskRcnnConfig(norm="bn", fpn_norm=True, rpn_convs=2, box_head="conv", mask_norm=True)

#: ResNet-50-C4: Detectron2's configs/Base-RCNN-C4.yaml, with all anchors on the one map.
C4 = MaskRcnnConfig(
    neck="c4",
    anchor_sizes_px=((32, 64, 128, 256, 512),),
    rpn_pre_nms_train=12000,
    rpn_pre_nms_test=6000,
    box_roi_size=14,
)

#: For small devices, with the anchors of torchvision's fasterrcnn_mobilenet_v3_large_fpn.
MOBILENET = MaskRcnnConfig(backbone="mobilenet_v3_large", anchor_sizes_px=((32, 64, 128, 256, 512),) * 3)


def build_mask_rcnn(config: MaskRcnnConfig) -> FasterRCNN:
    """The network, randomly initialised.

    In training mode it takes images (list of (3, H, W) float32 in 0–1) and targets and gives the losses:
    L = L_cls + L_box + L_mask of the paper (section 3) plus the RPN's two; L_keypoint in the place of L_mask
    for "keypoint" (training/models/keypoint_rcnn.py), neither for "detection".
    """
    body: Any = build_body(
        config.backbone,
        norm_layer(config.norm, config.frozen_bn_epsilon),
        stride_in_1x1=config.stride_in_1x1,
    )
    backbone: C4Backbone | FpnBackbone
    box_head: nn.Module
    mask_head: nn.Module
    if config.neck == "c4":
        backbone, box_head, box_width = C4Backbone(body), Res5Head(body.layer4), body.inplanes
    else:
        backbone = FpnBackbone(body, config.fpn_channels, norm=nn.BatchNorm2d if config.fpn_norm else None)
        box_head, box_width = _box_head(config), BOX_WIDTH
    layout = backbone.layout
    strides_px = tuple(layout.strides_px.values())
    anchors = (
        StretchedAnchors(config.anchor_sizes_px, config.anchor_ratios, strides_px)
        if config.by_matterport
        else anchor_generator(
            config.anchor_sizes_px, config.anchor_ratios, strides_px, exact=config.exact_anchors
        )
    )
    pooler = partial(
        RoiPooler,
        [str(level) for level in range(layout.pooled)],  # torchvision's names of the levels
        layout.pooled_strides_px,
        pooling=Pooling.named(
            config.roi_pool, sampling_ratio=config.sampling_ratio, aligned=config.roi_aligned
        ),
        canonical_scale=CANONICAL_SCALE if config.by_matterport else CANONICAL_SCALE_PX,
    )
    branch: dict[str, nn.Module] = {}
    if config.task == "instance":
        branch = {"mask_roi_pool": pooler(config.mask_roi_size)}
    elif config.task == "keypoint":
        pool = pooler(config.keypoint_roi_size)
        branch = keypoint_branch(pool, backbone.out_channels, config.keypoint_convs, config.num_keypoints)
    _, network = NETWORKS[config.task]
    model = network(
        backbone,
        num_classes=config.num_classes,
        min_size=config.min_size_px,
        max_size=config.max_size_px,
        image_mean=list(config.mean),
        image_std=list(config.std),
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(
            backbone.out_channels, anchors.num_anchors_per_location()[0], conv_depth=config.rpn_convs
        ),
        rpn_pre_nms_top_n_train=config.rpn_pre_nms_train,
        rpn_pre_nms_top_n_test=config.rpn_pre_nms_test,
        rpn_post_nms_top_n_train=config.rpn_post_nms_train,
        rpn_post_nms_top_n_test=config.rpn_post_nms_test,
        rpn_nms_thresh=config.rpn_nms,
        rpn_score_thresh=config.rpn_score_threshold,
        rpn_fg_iou_thresh=config.rpn_foreground_iou,
        rpn_bg_iou_thresh=config.rpn_background_iou,
        rpn_batch_size_per_image=config.rpn_samples,
        rpn_positive_fraction=config.rpn_positive_fraction,
        box_roi_pool=pooler(config.box_roi_size),
        box_head=box_head,
        box_score_thresh=config.score_threshold,
        box_nms_thresh=config.nms,
        box_detections_per_img=config.max_detections,
        box_fg_iou_thresh=config.box_foreground_iou,
        box_bg_iou_thresh=config.box_background_iou,
        box_batch_size_per_image=config.box_samples,
        box_positive_fraction=config.box_positive_fraction,
        bbox_reg_weights=config.box_weights,
        **branch,
    )
    # torchvision's own predictors take 1024 and 256 channels, whatever the heads give.
    model.roi_heads.box_predictor = FastRCNNPredictor(box_width, config.num_classes)
    if config.task == "instance":
        if isinstance(box_head, Res5Head):
            mask_head, mask_width = SharedRes5(box_head), box_width
        else:
            mask_head, mask_width = build_mask_head(config), config.mask_convs[-1]
        model.roi_heads.mask_head = mask_head
        model.roi_heads.mask_predictor = build_mask_predictor(config, mask_width)
        if config.mask_activation == "softmax":
            model.roi_heads = SoftmaxMaskHeads(model.roi_heads)
    return by_matterports_rules(model) if config.by_matterport else model


def _box_head(config: MaskRcnnConfig) -> nn.Module:
    """That of a pyramid's RoIs, to BOX_WIDTH channels."""
    channels, side = config.fpn_channels, config.box_roi_size
    if config.box_head == "mlp":
        return TwoMLPHead(channels * side**2, BOX_WIDTH)
    return FastRCNNConvFCHead((channels, side, side), [256] * 4, [BOX_WIDTH], norm_layer=nn.BatchNorm2d)


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(v) for v in value) if isinstance(value, list | tuple) else value
