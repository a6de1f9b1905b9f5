"""A backbone that has seen ImageNet."""

from __future__ import annotations

from torchvision.models import get_model_weights
from torchvision.models.detection import FasterRCNN

from runtime.errors import CheckpointError
from training.checkpoint import read_weights_file
from training.models import MaskRcnnConfig


def load_backbone(model: FasterRCNN, config: MaskRcnnConfig, source: str) -> None:
    """Put a classifier's weights into the ResNet, in place.

    source: "imagenet" (torchvision's, downloaded on first use) or a state dict's file. Raises
    CheckpointError where it cannot be had or does not fit.
    """
    if source == "imagenet":
        try:
            weights = get_model_weights(config.backbone)["IMAGENET1K_V1"].get_state_dict(check_hash=True)
        except OSError as error:
            raise CheckpointError(
                f"--backbone imagenet: the weights of {config.backbone} could not be downloaded ({error}). "
                "Download them elsewhere and give the file: --backbone resnet.pth"
            ) from error
    else:
        weights, _ = read_weights_file(source)
    body = {k: v for k, v in weights.items() if not k.startswith("fc.")}
    try:
        result = model.backbone.body.load_state_dict(body, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{source}: not the weights of a {config.backbone}: {error}") from error
    missing = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
    unexpected = [key for key in result.unexpected_keys if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise CheckpointError(
            f"{source}: not the weights of a {config.backbone}: missing {missing[:3]}, "
            f"unexpected {unexpected[:3]}."
        )
