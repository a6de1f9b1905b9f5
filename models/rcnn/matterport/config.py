"""The settings of Matterport's Mask_RCNN 2.x: mrcnn/config.py's, and what its code has written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.runtime.errors import CheckpointError


@dataclass(frozen=True)
class MatterportConfig(MaskRcnnConfig):
    """As MaskRcnnConfig, with the defaults of the original. Its ratios of anchors are width / height."""

    RETIRED: ClassVar[Mapping[str, Any]] = {"rules": "matterport"}

    stride_in_1x1: bool = True
    frozen_bn_epsilon: float = 1e-3
    min_size_px: int = 800
    max_size_px: int = 1024
    resize: str = "skimage"
    size_rounding: str = "nearest"
    mean: tuple[float, float, float] = (123.7 / 255, 116.8 / 255, 103.9 / 255)
    std: tuple[float, float, float] = (1 / 255, 1 / 255, 1 / 255)
    anchor_ratios: tuple[float, ...] = (2.0, 1.0, 0.5)
    exact_anchors: bool = True
    rpn_pre_nms_test: int = 6000
    roi_pool: str = "crop_avg"
    nms: float = 0.3
    mask_paste: str = "matterport"

    def __post_init__(self) -> None:
        if self.neck != "fpn" or not str(self.backbone).startswith("res"):
            raise CheckpointError(
                f"model configuration: {self.backbone} with neck {self.neck!r} by Matterport's rules, "
                "expected a ResNet and 'fpn'."
            )
        super().__post_init__()

    @property
    def family(self) -> str:
        """Whatever it finds."""
        return "matterport_rcnn"

    @property
    def placement(self) -> str:
        """In the middle of a square."""
        return "square"
