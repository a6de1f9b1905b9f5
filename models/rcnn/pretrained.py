"""Weights to start from: a backbone that has seen ImageNet, or a whole detector that has seen other data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torchvision.models import get_model_weights
from torchvision.models.detection import FasterRCNN

from maskrt.models.checkpoint import Checkpoint, read_weights_file
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.runtime.contract import Category, Keypoints
from maskrt.runtime.errors import CheckpointError

# The layers whose outputs are the classes' own; those of masks unless all classes share them.
BOX_LAYERS = ("roi_heads.box_predictor.",)
MASK_LAYERS = ("roi_heads.mask_predictor.mask_fcn_logits.", "roi_heads.mask_predictor.logits.")
POINT_LAYERS = ("roi_heads.keypoint_predictor.",)
BRANCHES = ("roi_heads.mask_", "roi_heads.keypoint_")
OWN = ("fc.", "classifier.")  # a classifier's last layers
BODY, RES5 = "backbone.body.", "roi_heads.box_head.res5."


def load_backbone(model: FasterRCNN, config: MaskRcnnConfig, source: str) -> None:
    """Put a classifier's weights into the backbone, and into the head that is its last layer on C4, in place.

    source: "imagenet" (torchvision's, downloaded on first use) or a state dict's file. Raises
    CheckpointError where it cannot be had or does not fit.
    """
    weights = _imagenet(config.backbone) if source == "imagenet" else read_weights_file(source)[0]
    given = {_detector_key(key, config): value for key, value in weights.items() if not key.startswith(OWN)}
    try:
        result = model.load_state_dict(given, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{source}: not the weights of a {config.backbone}: {error}") from error
    missing, unexpected = (
        [key for key in keys if key.startswith((BODY, RES5)) and not key.endswith("num_batches_tracked")]
        for keys in (result.missing_keys, result.unexpected_keys)
    )
    if missing or unexpected:
        raise CheckpointError(
            f"{source}: not the weights of a {config.backbone}: missing {missing[:3]}, "
            f"unexpected {unexpected[:3]}."
        )


def _imagenet(backbone: str) -> Mapping[str, Any]:
    try:
        return get_model_weights(backbone)["IMAGENET1K_V1"].get_state_dict(check_hash=True)
    except ValueError as error:
        raise CheckpointError(
            f"--backbone imagenet: torchvision has no weights of {backbone}. Give a file: "
            "--backbone resnet.pth"
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"--backbone imagenet: the weights of {backbone} could not be downloaded ({error}). "
            "Download them elsewhere and give the file: --backbone resnet.pth"
        ) from error


def _detector_key(key: str, config: MaskRcnnConfig) -> str:
    """Where a classifier's tensor stands in the detector."""
    if config.neck == "c4" and key.startswith("layer4."):
        return RES5 + key.removeprefix("layer4.")
    return BODY + key.removeprefix("features.")  # MobileNet's prefix; ResNets have none


def load_detector(
    model: FasterRCNN, start: Checkpoint, classes: tuple[Category, ...], keypoints: Keypoints | None = None
) -> list[str]:
    """Put a detector's weights into `model`, in place; those of its classes only where they are `classes`,
    those of its points only where they are `keypoints`, and of a branch only where both have it.

    Returns the names of the tensors left out. Raises CheckpointError where any other does not fit.
    """
    given = start.build().state_dict()
    own = model.state_dict()
    differ = tuple(branch for branch in BRANCHES if not any(key.startswith(branch) for key in given))
    if [c.name for c in start.classes] != [c.name for c in classes]:
        differ += BOX_LAYERS if start.config.mask_class_agnostic else (*BOX_LAYERS, *MASK_LAYERS)
    if start.keypoints and keypoints and start.keypoints.names != keypoints.names:
        differ += POINT_LAYERS
    left_out = [key for key in own if key.startswith(differ)]
    wanted = [key for key in own if key not in left_out and not key.endswith("num_batches_tracked")]
    if unfit := [key for key in wanted if key not in given or given[key].shape != own[key].shape]:
        raise CheckpointError(
            f"--from: the checkpoint's weights do not fit the model: {', '.join(unfit[:3])} "
            f"({len(unfit)} of {len(wanted)} tensors). Leave out the --set that changes these layers."
        )
    model.load_state_dict({key: given[key] for key in wanted}, strict=False)
    return left_out
