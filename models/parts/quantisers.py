"""Quantisers in a model that rounds as its INT8 file will: their scales, and the weights without them.

A family's `fake_quantise` inserts them: a quantiser at each point whose activations are rounded, and the
weights of each layer that reads one. The result of training is a plain checkpoint and a scale for each point.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torchvision.ops import FrozenBatchNorm2d

from maskrt.models.parts.fake_quantise import FakeQuantise, RoundedWeight

QUANTISERS = "fake_quantise"  # the model's submodule that holds them


class Points:
    """Quantisers of a model, by name."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.names = {module: name for name, module in model.named_modules()}
        self.made: dict[str, FakeQuantise] = {}

    def name_of(self, module: nn.Module) -> str:
        """Name of the module in the model."""
        return self.names[module]

    def new(self, name: str) -> FakeQuantise:
        """Create the quantiser of a new point."""
        self.made[name] = FakeQuantise()
        return self.made[name]

    def before(self, module: nn.Module, quantiser: FakeQuantise) -> None:
        """Round the module's input with a quantiser."""
        module.register_forward_pre_hook(lambda _, args: (quantiser(args[0]), *args[1:]))

    def hold(self, *layers: nn.Module) -> None:
        """Round the weights of the layers, and make the quantisers a submodule of the model."""
        for layer in layers:
            axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0  # of the output channels
            parametrize.register_parametrization(layer, "weight", RoundedWeight(axis))
        held = nn.ModuleDict({name.replace(".", "/"): each for name, each in self.made.items()})
        self.model.add_module(QUANTISERS, held)


@torch.no_grad()
def observe(model: nn.Module, batches: Iterable[tuple[list[Tensor], list[dict[str, Tensor]]]]) -> None:
    """Initialise each scale from the values of these training batches. Leaves the model in its mode."""
    for quantiser in _quantisers(model).values():
        quantiser.observing = True
    for images, targets in batches:
        model.train()(images, targets)
    for quantiser in _quantisers(model).values():
        quantiser.observing = False


def scale_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Logarithms of the scales, which are learned; none for a model that does not round."""
    return [each.log2_scale for each in _quantisers(model).values()]


def learned_scales(model: nn.Module) -> dict[str, float]:
    """Scale of each point; none for a model that does not round."""
    return {name: each.scale for name, each in _quantisers(model).items()}


def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """State dict of the model without rounding, under the names of an ordinary checkpoint."""
    weights = {}
    for key, value in model.state_dict().items():
        if not key.startswith(f"{QUANTISERS}."):
            weights[key.replace("parametrizations.weight.original", "weight")] = value.detach().cpu().clone()
    for name, module in model.named_modules():
        if isinstance(module, FixedBatchNorm):
            weights[f"{name}.num_batches_tracked"] = torch.zeros((), dtype=torch.long)
    return weights


def _quantisers(model: nn.Module) -> dict[str, FakeQuantise]:
    held: Any = getattr(model, QUANTISERS, {})
    return {name.replace("/", "."): each for name, each in held.items()}


class FixedBatchNorm(FrozenBatchNorm2d):
    """Frozen norm of a network trained with batch norms: its checkpoint has their counts of batches too."""


def freeze_batch_norms(model: nn.Module) -> None:
    """Replace batch norms, in place, by norms that keep the present statistics for good."""
    for parent in model.modules():
        for name, norm in list(parent.named_children()):
            if isinstance(norm, nn.BatchNorm2d):
                fixed = FixedBatchNorm(norm.num_features, norm.eps)
                state = norm.state_dict()
                del state["num_batches_tracked"]
                fixed.load_state_dict(state)
                setattr(parent, name, fixed)


def layers_of(*modules: nn.Module) -> list[nn.Module]:
    """Layers of the module whose weights are rounded."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    return [each for module in modules for each in module.modules() if isinstance(each, kinds)]
