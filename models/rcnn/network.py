"""Mask R-CNN (arXiv:1703.06870) on a feature pyramid, on C4 or on C5, from torchvision's building blocks.

With the defaults of `MaskRcnnConfig` it is torchvision's `maskrcnn_resnet50_fpn`, whose checkpoints load
unchanged and give bit-identical results.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead

from maskrt.models.parts.backbones import C4Backbone, FpnBackbone, build_body, norm_layer
from maskrt.models.parts.roi_features import CANONICAL_SCALE_PX, Pooling, RoiPooler
from maskrt.models.rcnn.anchors import anchor_generator
from maskrt.models.rcnn.branches import BRANCHES
from maskrt.models.rcnn.c4 import Res5Head, SharedRes5
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.keypoint_branch import keypoint_branch
from maskrt.models.rcnn.mask_branch import MaskHeads, build_mask_head, build_mask_predictor
from maskrt.models.rcnn.single_level import ByClassHeads, SingleLevelRpn
from maskrt.runtime.tasks.instances.options import TORCHVISION, TRUNCATED

BOX_WIDTH = 1024  # of a pyramid's box head (arXiv:1612.03144, section 4.2)


def build_mask_rcnn(
    config: MaskRcnnConfig,
    *,
    anchors_of: Callable[[tuple[int, ...]], AnchorGenerator] | None = None,
    canonical_scale: float = CANONICAL_SCALE_PX,
) -> FasterRCNN:
    """The network, randomly initialised.

    anchors_of: the anchors for maps of these strides; by default torchvision's, as `config` has them.
    canonical_scale: of the rule that gives a RoI its level, in px.

    In training mode it takes images (list of (3, H, W) float32 in 0–1) and targets and gives the losses:
    L = L_cls + L_box + L_mask of the paper (section 3) plus the RPN's two; L_keypoint in the place of L_mask
    for "keypoint" (models/rcnn/keypoint_branch.py), neither for "detection".
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
        norm = nn.BatchNorm2d if config.fpn_norm else None
        backbone = FpnBackbone(body, config.fpn_channels, norm=norm, single=config.neck == "c5")
        box_head, box_width = _box_head(config), BOX_WIDTH
    layout = backbone.layout
    strides_px = tuple(layout.strides_px.values())
    anchors = (
        anchors_of(strides_px)
        if anchors_of
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
        canonical_scale=canonical_scale,
    )
    branch: dict[str, nn.Module] = {}
    if config.task == "instance":
        branch = {"mask_roi_pool": pooler(config.mask_roi_size)}
    elif config.task == "keypoint":
        pool = pooler(config.keypoint_roi_size)
        branch = keypoint_branch(pool, backbone.out_channels, config.keypoint_convs, config.num_keypoints)
    model = BRANCHES[config.task].network(
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
    model.rpn.min_size = config.rpn_least_side_px
    if config.rpn_loss == "l1" or config.scale_by_padded:
        model.rpn = SingleLevelRpn(model.rpn, config)
    # torchvision's own predictors take 1024 and 256 channels, whatever the heads give.
    model.roi_heads.box_predictor = FastRCNNPredictor(box_width, config.num_classes)
    if config.task == "instance":
        if isinstance(box_head, Res5Head):
            mask_head, mask_width = SharedRes5(box_head), box_width
        else:
            mask_head, mask_width = build_mask_head(config), config.mask_convs[-1]
        model.roi_heads.mask_head = mask_head
        model.roi_heads.mask_predictor = build_mask_predictor(config, mask_width)
    softmax = config.mask_activation == "softmax"
    middles = config.mask_paste not in (TORCHVISION, TRUNCATED)
    if config.chooses_by_class:
        model.roi_heads = ByClassHeads(model.roi_heads, config, softmax=softmax, middles=middles)
    elif config.task == "instance" and (softmax or middles):
        model.roi_heads = MaskHeads(model.roi_heads, softmax=softmax, middles=middles)
    return model


def _box_head(config: MaskRcnnConfig) -> nn.Module:
    """That of a pyramid's RoIs, to BOX_WIDTH channels."""
    channels, side = config.fpn_channels, config.box_roi_size
    if config.box_head == "mlp":
        return TwoMLPHead(channels * side**2, BOX_WIDTH)
    return FastRCNNConvFCHead((channels, side, side), [256] * 4, [BOX_WIDTH], norm_layer=nn.BatchNorm2d)
