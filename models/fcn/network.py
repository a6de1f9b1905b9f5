"""FCN-32s, 16s and 8s (arXiv:1411.4038)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from maskrt.models.fcn.config import POOLS, VGG, FcnConfig
from maskrt.models.fcn.segmenter import Segmenter
from maskrt.models.fcn.trunks import build_trunk
from maskrt.models.fcn.upsampling import Enlarge, Fuse, Resized, bilinear_deconvolution

FC6_SIDE = 7
#: Where coarse scores lie in the finer map, and the canvas in the last scores, by stride: `Crop` layers of
#: shelhamer/fcn.berkeleyvision.org (voc-fcn32s, voc-fcn16s and voc-fcn8s, train.prototxt).
SKIP_OFFSETS, CANVAS_OFFSETS_PX = {16: 5, 8: 9}, {32: 19, 16: 27, 8: 31}


class Fcn(Segmenter):
    """A backbone, score layers on its maps, and bilinear enlargement. What is scored learns from zero."""

    def __init__(self, config: FcnConfig) -> None:
        super().__init__()
        self.config: FcnConfig = config
        caffe, classes = config.geometry == "caffe", config.num_classes
        self.backbone = build_trunk(config)
        channels = dict(self.backbone.channels)
        if config.backbone == VGG:
            padding = 0 if caffe else FC6_SIDE // 2
            self.fc6 = nn.Conv2d(channels["pool5"], config.fc_channels, FC6_SIDE, padding=padding)
            self.fc7 = nn.Conv2d(config.fc_channels, config.fc_channels, 1)
            self.relu6, self.relu7 = nn.ReLU(), nn.ReLU()
            self.drop6, self.drop7 = nn.Dropout2d(config.dropout), nn.Dropout2d(config.dropout)
            channels["pool5"] = config.fc_channels
        *coarser, finest = config.strides_px
        for stride in config.strides_px:
            layer = nn.Conv2d(channels[POOLS[stride]], classes, 1)
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
            self.add_module(score_layer(stride), layer)

        def enlargement(factor: int) -> nn.Module:
            return bilinear_deconvolution(classes, factor) if caffe else Resized(factor)

        for stride in (stride // 2 for stride in coarser):
            offset = SKIP_OFFSETS[stride] if caffe else None
            self.add_module(f"fuse{stride}", Fuse(enlargement(2), offset))
        offset = CANVAS_OFFSETS_PX[finest] if caffe else None
        self.add_module(f"enlarge{finest}", Enlarge(enlargement(finest), offset))

    def maps(self, canvas: Tensor) -> dict[str, Tensor]:
        """As every network's."""
        maps = self.backbone(canvas)
        top = maps["pool5"]
        if self.config.backbone == VGG:
            top = self.drop6(self.relu6(self.fc6(top)))
            maps["fc7"] = self.relu7(self.fc7(top))
            top = self.drop7(maps["fc7"])
        coarsest, *finer = self.config.strides_px
        scores = self._scored(coarsest, top, canvas)
        maps[f"score{coarsest}"] = scores
        for stride, scale in zip(finer, self.config.skip_scales, strict=False):
            pooled = maps[POOLS[stride]]
            fuse: Any = getattr(self, f"fuse{stride}")
            scores = fuse(scores, self._scored(stride, pooled if scale == 1 else pooled * scale, canvas))
            maps[f"score{stride}"] = scores
        return maps

    def _scored(self, stride: int, features: Tensor, canvas: Tensor) -> Tensor:
        """Scores in the canvas' type, whatever the layer computes in."""
        layer: Any = getattr(self, score_layer(stride))
        scores: Tensor = layer(features)
        return scores.to(canvas.dtype)

    def score_layers(self) -> list[nn.Conv2d]:
        """As every network's."""
        return [getattr(self, score_layer(stride)) for stride in self.config.strides_px]

    def enlarged(self, scores: Tensor, canvas: Tensor) -> Tensor:
        """As every network's."""
        enlarge: Any = getattr(self, f"enlarge{self.config.strides_px[-1]}")
        return enlarge(scores, canvas)


def score_layer(stride: int) -> str:
    """Name of the layer that scores the map of a stride, as the published weights have it."""
    return "score_fr" if stride == 32 else f"score_{POOLS[stride]}"
