"""FCN's published weights, as wkentaro/pytorch-fcn keeps them: Caffe's names, B G R, 0 to 255 less a mean.

Both a bare state dict and what its trainer writes, a dictionary with `arch` and `model_state_dict`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.family import Reader
from maskrt.models.fcn.class_names import name_labels
from maskrt.models.fcn.config import FcnConfig
from maskrt.models.fcn.network import Fcn
from maskrt.models.fcn.trunks import VGG_BLOCKS
from maskrt.runtime.errors import CheckpointError

FIRST, SCORE = "conv1_1.weight", "score_fr.weight"
WRAPPED = "model_state_dict"
#: Mean of ImageNet's pixels, B G R (shelhamer/fcn.berkeleyvision.org, voc_layers.py).
MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)
AT_ONCE = (0.01, 0.0001)  # what pool4 and pool3 are multiplied by (voc-fcn8s-atonce, train.prototxt)
#: By network: the file's names of what enlarges scores, by ours.
ENLARGING = {
    "fcn32s": {"enlarge32.up": "upscore"},
    "fcn16s": {"fuse16.up": "upscore2", "enlarge16.up": "upscore16"},
    "fcn8s": {"fuse16.up": "upscore2", "fuse8.up": "upscore_pool4", "enlarge8.up": "upscore8"},
}
SHOWN = 6  # keys that a message lists


def is_published(content: dict[str, Any]) -> bool:
    """True if these are the keys of FCN on VGG16 under Caffe's names."""
    weights = content.get(WRAPPED, content)
    return isinstance(weights, dict) and all(isinstance(weights.get(k), Tensor) for k in (FIRST, SCORE))


def from_published(
    content: dict[str, Any], *, class_names: list[str] | None, sha256: str, source: str
) -> Checkpoint:
    """A checkpoint from a dictionary that `is_published` recognised.

    "At once" networks have the same keys as others: `arch` tells them, or "atonce" in the file's name. Raises
    CheckpointError where class names are missing, or keys or shapes do not fit.
    """
    weights: dict[str, Tensor] = content.get(WRAPPED, content)
    told = f"{content.get('arch', '')} {Path(source).name}".lower().replace("_", "").replace("-", "")
    network = next(
        (n for n in reversed(ENLARGING) if f"{list(ENLARGING[n].values())[-1]}.weight" in weights), ""
    )
    if not network:
        raise CheckpointError(
            f"{source}: FCN's weights without any of upscore, upscore16 and upscore8, which tell 32s, 16s "
            "and 8s apart. Save the whole network's state dict."
        )
    classes = name_labels(weights[SCORE].shape[0], class_names, source)
    config = FcnConfig(
        num_classes=len(classes),
        network=network,
        geometry="caffe",
        width=weights[FIRST].shape[0] / VGG_BLOCKS[0][0],
        fc_channels=weights[SCORE].shape[1],
        skip_scales=AT_ONCE if "atonce" in told else (1.0, 1.0),
        min_size_px=512,
        max_size_px=512,  # VOC's pictures are of 500 px at most
        mean=(MEAN_BGR[2] / 255, MEAN_BGR[1] / 255, MEAN_BGR[0] / 255),
        std=(1 / 255,) * 3,
    )
    state_dict = _renamed(weights, config, source)
    first = f"backbone.{FIRST}"
    state_dict[first] = state_dict[first].flip(1).contiguous()  # of B G R, for R G B: the same function
    provenance = {"source": "FCN's published layout"}
    return Checkpoint(config, classes, state_dict, provenance=provenance, sha256=sha256)


def _renamed(weights: dict[str, Tensor], config: FcnConfig, source: str) -> dict[str, Tensor]:
    """Under our keys. Raises CheckpointError for keys missing and left over; shapes are checked later."""
    with torch.device("meta"):
        ours = list(Fcn(config).state_dict())
    theirs = {key: _published_name(key, ENLARGING[config.network]) for key in ours}
    missing = [name for name in theirs.values() if name not in weights]
    left_over = sorted(set(weights) - set(theirs.values()))
    if missing or left_over:
        raise CheckpointError(
            f"{source}: not the weights of {config.title}: missing {missing[:SHOWN]}, left over "
            f"{left_over[:SHOWN]}. What is read is listed in docs/checkpoints.md."
        )
    return {key: weights[name] for key, name in theirs.items()}


def _published_name(key: str, enlarging: dict[str, str]) -> str:
    layer, _, kind = key.rpartition(".")
    return f"{enlarging.get(layer, layer.removeprefix('backbone.'))}.{kind}"


PUBLISHED = Reader("a file of FCN's published weights (pytorch-fcn)", is_published, from_published)
