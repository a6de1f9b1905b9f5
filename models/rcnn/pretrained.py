"""A backbone that has seen ImageNet, to start from."""

from __future__ import annotations

from torchvision.models.detection import FasterRCNN

from maskrt.models.checkpoint import read_weights_file
from maskrt.models.foreign.imagenet import imagenet_weights
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.runtime.errors import CheckpointError

OWN = ("fc.", "classifier.")  # a classifier's last layers
BODY, RES5 = "backbone.body.", "roi_heads.box_head.res5."


def load_backbone(model: FasterRCNN, config: MaskRcnnConfig, source: str) -> None:
    """Put a classifier's weights into the backbone, and into the head that is its last layer on C4, in place.

    source: "imagenet" (torchvision's, downloaded on first use) or a state dict's file. Raises
    CheckpointError where it cannot be had or does not fit.
    """
    weights = imagenet_weights(config.backbone) if source == "imagenet" else read_weights_file(source)[0]
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


def _detector_key(key: str, config: MaskRcnnConfig) -> str:
    """Where a classifier's tensor stands in the detector."""
    if config.neck == "c4" and key.startswith("layer4."):
        return RES5 + key.removeprefix("layer4.")
    return BODY + key.removeprefix("features.")  # MobileNet's prefix; ResNets have none
