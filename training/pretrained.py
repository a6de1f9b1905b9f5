"""Weights to start from: a backbone that has seen ImageNet, or a whole detector that has seen other data."""

from __future__ import annotations

from torchvision.models import get_model_weights
from torchvision.models.detection import FasterRCNN

from runtime.contract import Category
from runtime.errors import CheckpointError
from training.checkpoint import Checkpoint, read_weights_file
from training.models import MaskRcnnConfig

# The layers that tell classes apart: their outputs are the classes' own.
CLASS_LAYERS = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")


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


def load_detector(model: FasterRCNN, start: Checkpoint, classes: tuple[Category, ...]) -> list[str]:
    """Put a detector's weights into `model`, in place; those of its classes only where they are `classes`.

    Returns the names of the tensors left out. Raises CheckpointError where any other does not fit.
    """
    same = [c.name for c in start.classes] == [c.name for c in classes]
    given = start.build().state_dict()
    own = model.state_dict()
    left_out = [] if same else [key for key in own if key.startswith(CLASS_LAYERS)]
    wanted = [key for key in own if key not in left_out and not key.endswith("num_batches_tracked")]
    if unfit := [key for key in wanted if key not in given or given[key].shape != own[key].shape]:
        raise CheckpointError(
            f"--from: the checkpoint's weights do not fit the model: {', '.join(unfit[:3])} "
            f"({len(unfit)} of {len(wanted)} tensors). Leave out the --set that changes these layers."
        )
    model.load_state_dict({key: given[key] for key in wanted}, strict=False)
    return left_out
