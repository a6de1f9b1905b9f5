"""What tells Mask, Faster and Keypoint R-CNN apart: the branch beside their boxes."""

from __future__ import annotations

from dataclasses import dataclass

from torchvision.models.detection import FasterRCNN, KeypointRCNN, MaskRCNN


@dataclass(frozen=True)
class Branch:
    """One network's branch.

    family: the network's name in FAMILIES. network: torchvision's class of it. kind: the branch's name in
    torchvision's modules, roi_heads.<kind>_roi_pool, <kind>_head and <kind>_predictor; "" where there is no
    branch. class_layers, keypoint_layers: prefixes of weights whose outputs are the classes' or points' own.
    """

    family: str
    network: type[FasterRCNN]
    kind: str = ""
    class_layers: tuple[str, ...] = ()
    keypoint_layers: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """Of the names of its weights."""
        return f"roi_heads.{self.kind}_"


#: By the field `task` of the configuration.
BRANCHES = {
    "instance": Branch(
        "mask_rcnn",
        MaskRCNN,
        "mask",
        class_layers=("roi_heads.mask_predictor.mask_fcn_logits.", "roi_heads.mask_predictor.logits."),
    ),
    "detection": Branch("faster_rcnn", FasterRCNN),
    "keypoint": Branch(
        "keypoint_rcnn", KeypointRCNN, "keypoint", keypoint_layers=("roi_heads.keypoint_predictor.",)
    ),
}
