"""Every hyper-parameter of a detector, and what others call their own as presets of them.

The defaults are torchvision's `maskrcnn_resnet50_fpn`. What is built of them: models/rcnn/network.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from maskrt.models.config import ModelConfig
from maskrt.models.parts.backbones import BACKBONES, NORMS
from maskrt.models.parts.layout import layout_of
from maskrt.models.parts.roi_features import ROI_POOLS
from maskrt.models.parts.settings import check_choices, check_ranges
from maskrt.models.rcnn.branches import BRANCHES
from maskrt.models.rcnn.layout import inside_of, layers_of
from maskrt.models.rcnn.mask_branch import MASK_ACTIVATIONS, MASK_HEADS
from maskrt.models.rcnn.ranges import AT_LEAST, RULES
from maskrt.runtime.contract import RESIZES, ROUNDINGS, Inside, Keypoints, Layers
from maskrt.runtime.errors import CheckpointError
from maskrt.runtime.tasks.instances.options import PASTES, BoxGrid, InstancesOptions

NECKS = ("fpn", "c4", "c5")
RPN_LOSSES = ("smooth_l1", "l1")
STRIDE = 32  # of C5
MASK_THRESHOLD = 0.5  # Mask R-CNN, arXiv:1703.06870, section 3.1, Inference


@dataclass(frozen=True)
class MaskRcnnConfig(ModelConfig):
    """Every hyper-parameter of the detector. Sizes in pixels of the canvas, thresholds as IoU or score."""

    RETIRED: ClassVar[Mapping[str, Any]] = {"rules": "torchvision"}

    # "instance", or without the mask branch: "detection", Faster R-CNN; "keypoint", Keypoint R-CNN
    task: str = "instance"
    num_classes: int = 91  # with background, which is class 0 inside the network
    backbone: str = "resnet50"
    # Or "c4": no pyramid, and the ResNet's last layer as the head; "c5": one level, of the ResNet's last map.
    # Use the settings of C4 or C5 below.
    neck: str = "fpn"
    stride_in_1x1: bool = False  # of the backbone's blocks, as in Detectron's Caffe weights
    norm: str = "frozen_bn"  # of the backbone: "frozen_bn" with ImageNet weights; "bn" or "gn" from scratch
    frozen_bn_epsilon: float = 1e-5
    fpn_channels: int = 256
    fpn_norm: bool = False  # batch norm in the FPN, as in torchvision's _v2
    # Image
    min_size_px: int = 800
    max_size_px: int = 1333
    resize: str = "torch"  # whose filter: one of RESIZES (`Canvas` in runtime/contract/sections.py)
    resize_dtype: str = "auto"  # pixels that it works on: "uint8", "float32", or as the filter has it
    canvas_stride: int = STRIDE  # sides of a canvas are multiples of it
    size_rounding: str = "down"  # of the resized sides: one of ROUNDINGS
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    # Region proposal network (arXiv:1506.01497)
    anchor_sizes_px: tuple[tuple[int, ...], ...] = ((32,), (64,), (128,), (256,), (512,))  # a tuple a level
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    exact_anchors: bool = False  # not rounded to whole pixels, as Detectron2's: models/rcnn/anchors.py
    rpn_convs: int = 1
    rpn_pre_nms_train: int = 2000  # per level
    rpn_pre_nms_test: int = 1000
    rpn_post_nms_train: int = 2000  # per image
    rpn_post_nms_test: int = 1000
    rpn_nms: float = 0.7
    rpn_score_threshold: float = 0.0  # least probability of a proposal
    rpn_least_side_px: float = 1e-3  # of a proposal
    rpn_loss: str = "smooth_l1"  # of the box deltas: one of RPN_LOSSES
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
    least_side_px: float = 1e-2  # of a detection
    max_detections: int = 100
    max_detections_per_class: int = 0  # 0: no limit of its own
    scale_by_padded: bool = False  # a fault of the single-level model's first code: models/rcnn/padded.py
    # Mask branch (models/rcnn/mask_branch.py)
    mask_head: str = "fcn"  # "fcn": mask_convs, then a deconvolution; "mlp": two fully connected layers
    mask_activation: str = "sigmoid"  # "softmax": the classes compete for each pixel
    mask_class_agnostic: bool = False  # one mask for whatever class
    mask_convs: tuple[int, ...] = (256, 256, 256, 256)
    mask_norm: bool = False  # batch norm in the mask head, as in torchvision's _v2
    mask_roi_size: int = 14
    mask_paste: str = "torchvision"  # to the pixels: one of PASTES (runtime/tasks/instances/paste.py)
    # Keypoint branch (models/rcnn/keypoint_branch.py)
    num_keypoints: int = 17
    keypoint_convs: tuple[int, ...] = (512,) * 8
    keypoint_roi_size: int = 14
    # RoI features (models/parts/roi_features.py)
    roi_pool: str = "align_avg"  # one of ROI_POOLS
    sampling_ratio: int = 2  # samples of a bin along an axis; 0: one a cell
    roi_aligned: bool = False  # with the half pixel, as in Detectron2 and MMDetection

    def __post_init__(self) -> None:
        check_choices(
            self,
            task=tuple(BRANCHES),
            backbone=BACKBONES,
            neck=NECKS,
            norm=NORMS,
            rpn_loss=RPN_LOSSES,
            box_head=("mlp", "conv"),
            mask_head=MASK_HEADS,
            mask_activation=MASK_ACTIVATIONS,
            roi_pool=ROI_POOLS,
            resize=tuple(RESIZES),
            resize_dtype=("auto", *RESIZES.get(self.resize, ())),
            size_rounding=ROUNDINGS,
            mask_paste=PASTES,
        )
        check_ranges(vars(self), RULES, AT_LEAST)
        if self.mask_class_agnostic and self.mask_activation == "softmax":
            raise CheckpointError(
                "model configuration: mask_activation is 'softmax' with mask_class_agnostic, expected "
                "'sigmoid': one mask for whatever class leaves no classes to compete."
            )
        if self.neck == "fpn" and self.canvas_stride % STRIDE:
            raise CheckpointError(
                f"model configuration: canvas_stride is {self.canvas_stride}, expected a multiple of "
                f"{STRIDE} with neck 'fpn': its up-sampled maps fit their neighbours on nothing else."
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
        if self.neck == "c5" and not self.backbone.startswith("res"):
            raise CheckpointError(
                f"model configuration: neck is 'c5' with {self.backbone}, expected a ResNet or ResNeXt."
            )
        levels = layout_of(vars(self)).levels
        if len(self.anchor_sizes_px) != len(levels):
            raise CheckpointError(
                f"model configuration: anchor_sizes_px is of {len(self.anchor_sizes_px)} levels, but the "
                f"RPN of {self.backbone} with neck {self.neck} reads {', '.join(levels)}. Start from its own "
                "preset: maskrt train --preset c4, c5 or mobilenet"
            )

    @property
    def family(self) -> str:
        """What the network of this task is called."""
        return BRANCHES[self.task].family

    @property
    def classes_found(self) -> int:
        """All but the background."""
        return self.num_classes - 1

    @property
    def keypoints_found(self) -> int:
        """None but of Keypoint R-CNN."""
        return self.num_keypoints if self.task == "keypoint" else 0

    @property
    def resizing(self) -> dict[str, Any]:
        """As its settings say."""
        works_on = None if self.resize_dtype == "auto" else self.resize_dtype
        return {"resize": self.resize, "resize_dtype": works_on, "rounding": self.size_rounding}

    @property
    def stride(self) -> int:
        """As it is set."""
        return self.canvas_stride

    @property
    def title(self) -> str:
        """With its backbone."""
        return f"{self.backbone} {self.family}"

    @property
    def described(self) -> dict[str, str]:
        """As every family's."""
        levels = ", ".join(layout_of(vars(self)).levels)
        network = f"{self.family} on {self.backbone}, neck {self.neck}"
        return {"network": network, "levels of the RPN": levels}

    def options(self, rows: str, keypoints: Keypoints | None) -> InstancesOptions:
        """As every family's."""
        grid = BoxGrid(self.mask_size, MASK_THRESHOLD, self.mask_paste)
        masks = grid if self.task == "instance" else None
        return InstancesOptions(self.score_threshold, self.nms, self.max_detections, rows, masks, keypoints)

    @property
    def inside(self) -> Inside:
        """As every family's."""
        return inside_of(self)

    @property
    def layers(self) -> Layers:
        """As every family's."""
        return layers_of(self)

    @property
    def chooses_by_class(self) -> bool:
        """Detections are chosen by rules that torchvision has not (models/rcnn/single_level.py)."""
        own = self.max_detections_per_class, self.least_side_px, self.scale_by_padded
        return own != (0, MaskRcnnConfig.least_side_px, False)

    @property
    def mask_size(self) -> int:
        """Side of a mask: that of its RoI, halved by res5 on C4, doubled by the deconvolution."""
        return 2 * (-(-self.mask_roi_size // 2) if self.neck == "c4" else self.mask_roi_size)


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

#: Mask R-CNN on C5 alone: https://github.com/Okery/PyTorch-Simple-MaskRCNN (models/rcnn/weights/c5.py).
C5 = MaskRcnnConfig(
    neck="c5",
    size_rounding="half_to_even",
    anchor_sizes_px=((128, 256, 512),),
    exact_anchors=True,
    rpn_least_side_px=1.0,
    rpn_loss="l1",
    score_threshold=0.1,
    nms=0.6,
    least_side_px=1.0,
    max_detections=300,
    max_detections_per_class=100,
    mask_paste="truncated",
)

#: For small devices, with the anchors of torchvision's fasterrcnn_mobilenet_v3_large_fpn.
MOBILENET = MaskRcnnConfig(backbone="mobilenet_v3_large", anchor_sizes_px=((32, 64, 128, 256, 512),) * 3)
