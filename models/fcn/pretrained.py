"""A classifier's weights under FCN's names, to start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from maskrt.models.checkpoint import read_weights_file
from maskrt.models.fcn.config import VGG, FcnConfig
from maskrt.models.fcn.network import FC6_SIDE, Fcn
from maskrt.models.fcn.trunks import VGG_BLOCKS
from maskrt.models.foreign.imagenet import imagenet_weights
from maskrt.runtime.errors import CheckpointError

#: Layers of VGG16's classifier (torchvision) that are convolutions here (arXiv:1411.4038, section 4.1).
FULLY_CONNECTED = {"classifier.0": "fc6", "classifier.3": "fc7"}


def load_backbone(model: Fcn, config: FcnConfig, source: str) -> None:
    """Put a classifier's weights into the backbone, in place.

    source: "imagenet" (torchvision's, downloaded on first use) or a state dict's file. Raises
    CheckpointError where it cannot be had or does not fit.
    """
    with_norm = config.backbone == VGG and config.norm == "bn"
    classifier = f"{config.backbone}_bn" if with_norm else config.backbone
    weights = imagenet_weights(classifier) if source == "imagenet" else read_weights_file(source)[0]
    given = _of_vgg(weights, config) if config.backbone == VGG else _of_resnet(weights)
    own = model.state_dict()
    wanted = [key for key in own if key.startswith("backbone.") and not key.endswith("num_batches_tracked")]
    if unfit := [key for key in wanted if key not in given or given[key].shape != own[key].shape]:
        raise CheckpointError(
            f"{source}: not the weights of the backbone of {config.title}: {', '.join(unfit[:3])} "
            f"({len(unfit)} of {len(wanted)} tensors) are missing or of another shape. A classifier has the "
            "whole width: --set width=1, and the norms of its own: --set norm=none or bn"
        )
    fitting = {key: value for key, value in given.items() if key in own and value.shape == own[key].shape}
    model.load_state_dict(fitting, strict=False)


def _of_resnet(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    return {f"backbone.{key}": value for key, value in weights.items() if isinstance(value, Tensor)}


def _of_vgg(weights: Mapping[str, Any], config: FcnConfig) -> dict[str, Tensor]:
    """torchvision numbers VGG's layers in one list, ReLUs and poolings with them."""
    names, number = {}, 0
    for block, widths in enumerate(VGG_BLOCKS, start=1):
        for place in range(1, len(widths) + 1):
            names[f"features.{number}"] = f"backbone.conv{block}_{place}"
            if config.norm == "bn":
                names[f"features.{number + 1}"] = f"backbone.norm{block}_{place}"
                number += 1
            number += 2
        number += 1
    found: dict[str, Tensor] = {}
    for key, value in weights.items():
        layer, _, kind = key.rpartition(".")
        if layer in names:
            found[f"{names[layer]}.{kind}"] = value
        elif layer in FULLY_CONNECTED and isinstance(value, Tensor):
            found[f"{FULLY_CONNECTED[layer]}.{kind}"] = _as_convolution(layer, kind, value)
    return found


def _as_convolution(layer: str, kind: str, value: Tensor) -> Tensor:
    if kind == "bias":
        return value
    side = FC6_SIDE if FULLY_CONNECTED[layer] == "fc6" else 1
    return value.unflatten(1, (-1, side, side)) if value.shape[1] % side**2 == 0 else value
