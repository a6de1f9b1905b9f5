"""torchvision's classifiers that have seen ImageNet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torchvision.models import get_model_weights

from maskrt.runtime.errors import CheckpointError


def imagenet_weights(classifier: str) -> Mapping[str, Any]:
    """The state dict of a classifier by torchvision's name, downloaded on first use.

    Raises CheckpointError where torchvision has none, or it cannot be downloaded.
    """
    try:
        return get_model_weights(classifier)["IMAGENET1K_V1"].get_state_dict(check_hash=True)
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            f"--backbone imagenet: torchvision has no weights of {classifier}. Give a file: "
            f"--backbone {classifier}.pth"
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"--backbone imagenet: the weights of {classifier} could not be downloaded ({error}). "
            f"Download them elsewhere and give the file: --backbone {classifier}.pth"
        ) from error
