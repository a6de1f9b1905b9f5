"""Weights taken over from another model of the same family."""

from __future__ import annotations

from torch import nn

from maskrt.models.checkpoint import Checkpoint
from maskrt.runtime.contract import Category, Keypoints
from maskrt.runtime.errors import CheckpointError


def take_over(
    model: nn.Module, start: Checkpoint, classes: tuple[Category, ...], keypoints: Keypoints | None = None
) -> list[str]:
    """Put the weights of `start` into `model`, in place; those of its classes only where they are `classes`,
    those of its points only where they are `keypoints`, and of a branch only where both have it.

    Returns the names of the tensors left out. Raises CheckpointError where any other does not fit.
    """
    given, own = start.build().state_dict(), model.state_dict()
    layers = start.family.head_layers(start.config)
    differ = tuple(branch for branch in layers.branches if not any(key.startswith(branch) for key in given))
    if [c.name for c in start.classes] != [c.name for c in classes]:
        differ += layers.classes
    if start.keypoints and keypoints and start.keypoints.names != keypoints.names:
        differ += layers.keypoints
    left_out = [key for key in own if key.startswith(differ)]
    wanted = [key for key in own if key not in left_out and not key.endswith("num_batches_tracked")]
    if unfit := [key for key in wanted if key not in given or given[key].shape != own[key].shape]:
        raise CheckpointError(
            f"--from: the checkpoint's weights do not fit the model: {', '.join(unfit[:3])} "
            f"({len(unfit)} of {len(wanted)} tensors). Leave out the --set that changes these layers."
        )
    model.load_state_dict({key: given[key] for key in wanted}, strict=False)
    return left_out
