"""What a checkpoint is known to make before any image: attributes of operators, and parts in PyTorch."""

from __future__ import annotations

from typing import Any

from torchvision.models.detection import FasterRCNN

from maskrt.models.parts.roi_features import CANONICAL_LEVEL, RoiPooler
from maskrt.models.rcnn.layout import BOX_FEATURES, KEYPOINT_FEATURES, MASK_FEATURES
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.models.rcnn.reference.parts import EagerParts
from maskrt.runtime.backends.session import Session
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.knowledge import Facts, Operator


def facts_of(session: Session) -> Facts:
    """Of the PyTorch reference; `more` is its anchors by level."""
    assert isinstance(session, EagerSession)
    model, contract = session.model, session.contract
    parts = EagerParts(model, contract)
    return Facts(expected_operators(model, contract), parts, more=parts.cells)


def expected_operators(model: FasterRCNN, contract: Contract) -> list[Operator]:
    """Operator, what it serves, and its attributes, in the order of the graph."""
    heads, rpn = model.roi_heads, model.rpn
    pooled = [
        ("PyramidRoiAlign", stage, _pooling(pooler))
        for stage, pooler in (
            (BOX_FEATURES, heads.box_roi_pool),
            (MASK_FEATURES, heads.mask_roi_pool),
            (KEYPOINT_FEATURES, heads.keypoint_roi_pool),
        )
        if pooler is not None
    ]
    levels = len(rpn.anchor_generator.cell_anchors)
    chosen = [
        ("GroupedNms", "proposals", {"iou_threshold": rpn.nms_thresh, "num_groups": levels}),
        (
            "GroupedNms",
            "detections",
            {
                "iou_threshold": heads.nms_thresh,
                "score_threshold": heads.score_thresh,
                "num_groups": len(contract.classes),
            },
        ),
    ]
    return pooled + chosen


def _pooling(pooler: RoiPooler) -> dict[str, Any]:
    height, width = pooler.output_size
    return {
        "output_height": height,
        "output_width": width,
        "sampling_ratio": pooler.pooling.sampling_ratio,
        "aligned": int(pooler.pooling.aligned),
        "method": pooler.pooling.method,
        "mode": pooler.pooling.mode,
        "canonical_scale": pooler.canonical_scale,
        "canonical_level": CANONICAL_LEVEL,
        "strides": list(pooler.strides),
    }
