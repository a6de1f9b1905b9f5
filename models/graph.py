"""What is exported of a network: a module that takes a canvas and gives the contract's outputs."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class InferenceGraph(nn.Module):
    """The exported forward pass, all in float32, with shapes that do not depend on the data.

    models/parts/half.py changes the types of its units.
    """

    @abstractmethod
    def forward(self, images: Tensor, image_sizes: Tensor) -> tuple[Tensor, ...]:
        """images: (N, H, W, 3) uint8 or float32, RGB 0–255; image_sizes: (N, 2) float32, height and width.

        Returns the contract's outputs, then the tensors at its stages, in the contract's order.
        """

    def units(self) -> dict[str, list[nn.Module]]:
        """What computes in half precision as one or not at all, by name, each the modules it is made of.

        The names are those of the configuration's `layers.units`, by which an FP16 file's units are found
        without the network.
        Scores and boxes are computed outside of the units, in float32.
        """
        return {
            name: [module] for name, module in self.named_children() if any(True for _ in module.parameters())
        }
