"""What is exported of a network: normalisation, its maps, and the best class at each pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskrt.models.fcn.segmenter import Segmenter
from maskrt.models.fcn.upsampling import class_by_class
from maskrt.models.graph import InferenceGraph
from maskrt.models.parts.canvas import NormaliseCanvas
from maskrt.models.parts.fold import fold_batch_norm


class SemanticGraph(InferenceGraph):
    """The exported forward pass of any network of this package."""

    def __init__(self, model: Segmenter) -> None:
        super().__init__()
        folded = class_by_class(fold_batch_norm(model.eval()))
        assert isinstance(folded, Segmenter)
        self.config = folded.config
        self.canvas = NormaliseCanvas(self.config.mean, self.config.std)
        self.maps, self.enlarged = folded.maps, folded.enlarged
        for name, module in folded.named_children():
            if name not in folded.training_only:
                self.add_module(name, module)

    def forward(self, images: Tensor, image_sizes: Tensor) -> tuple[Tensor, ...]:
        """images: (N, H, W, 3); image_sizes: (N, 2). Returns `semantic` (N, H, W) uint8, `semantic_scores`
        (N, C, h, w) float32 where the configuration asks for them, then the taps."""
        canvas = self.canvas(images, image_sizes)
        maps = self.maps(canvas)
        *_, scores = maps.values()
        logits = self.enlarged(scores, canvas)
        # By way of float32: TensorRT makes uint8 of nothing else.
        outputs = [logits.argmax(dim=1).to(torch.float32).to(torch.uint8)]
        if self.config.semantic_scores:
            outputs.append(scores if self.config.scores_stride_px > 1 else logits)
        return *outputs, canvas, *(maps[name] for name in self.config.inside.names[1:])

    def units(self) -> dict[str, list[nn.Module]]:
        """As the configuration names them: residual blocks and single convolutions."""
        names = (self.config.layers.unit_of(name) for name, _ in self.named_parameters())
        return {name: [self.get_submodule(name)] for name in dict.fromkeys(names) if name}
