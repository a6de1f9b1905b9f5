"""torchvision's own checkpoints of networks for class maps, and those fine-tuned from them.

A bare state dict does not say how it was built; its keys and shapes do.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Reader
from maskrt.models.fcn.class_names import name_labels
from maskrt.models.fcn.dilated.config import LOW_BLOCK, DilatedConfig
from maskrt.models.parts.backbones import MOBILENET
from maskrt.runtime.errors import CheckpointError

#: The last layer of each network's head, and what its head alone has.
LAST_LAYERS = {
    "lraspp": "classifier.low_classifier.weight",
    "deeplabv3": "classifier.4.weight",
    "fcn": "classifier.4.weight",
}
OWN_LAYERS = {
    "lraspp": "classifier.cbr.0.weight",
    "deeplabv3": "classifier.0.convs.0.0.weight",
    "fcn": "classifier.0.weight",
}
AUXILIARY = "aux_classifier."
#: Blocks of layer3: arXiv:1512.03385, table 1.
RESNETS = {6: "resnet50", 23: "resnet101"}


def is_torchvision(content: dict[str, Any]) -> bool:
    """True if these are the keys of torchvision's FCN, DeepLabV3 or LR-ASPP."""
    return _network(content) is not None and any(key.startswith("backbone.") for key in map(str, content))


def from_torchvision(
    state_dict: dict[str, Tensor], *, class_names: list[str] | None, sha256: str, source: str
) -> Checkpoint:
    """A checkpoint from a state dict whose keys `is_torchvision` recognised.

    class_names: with the background, where there is one; may be left out for VOC's 21. Raises
    CheckpointError where they are missing or the layout is unknown.
    """
    network = _network(state_dict)
    assert network is not None
    classes = name_labels(state_dict[LAST_LAYERS[network]].shape[0], class_names, source)
    config = DilatedConfig(
        num_classes=len(classes),
        network=network,
        backbone=_backbone(state_dict, source),
        auxiliary=any(key.startswith(AUXILIARY) for key in state_dict),
        resize="pil",  # its `transforms()` and its reference scripts resize PIL images
    )
    provenance = {"source": "torchvision state dict"}
    return Checkpoint(config, classes, dict(state_dict), provenance=provenance, sha256=sha256)


def _network(content: dict[str, Any]) -> str | None:
    layers = ((network, (OWN_LAYERS[network], LAST_LAYERS[network])) for network in LAST_LAYERS)
    return next(
        (name for name, keys in layers if all(isinstance(content.get(key), Tensor) for key in keys)), None
    )


def _backbone(state_dict: dict[str, Tensor], source: str) -> str:
    if f"backbone.{LOW_BLOCK}.block.0.0.weight" in state_dict:
        return MOBILENET
    blocks = len({key.split(".")[2] for key in state_dict if key.startswith("backbone.layer3.")})
    if blocks not in RESNETS or "backbone.layer3.0.conv3.weight" not in state_dict:
        raise CheckpointError(
            f"{source}: a backbone with {blocks} blocks in layer3 is none of torchvision's "
            f"{', '.join(RESNETS.values())} and {MOBILENET}."
        )
    return RESNETS[blocks]


TORCHVISION = Reader(
    "a state dict of torchvision's FCN, DeepLabV3 or LR-ASPP", is_torchvision, from_torchvision
)
