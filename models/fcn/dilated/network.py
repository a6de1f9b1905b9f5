"""torchvision's networks themselves, built by its own functions under its own keys."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import segmentation

from maskrt.models.fcn.dilated.config import DilatedConfig
from maskrt.models.fcn.segmenter import Segmenter, cross_entropy

AUXILIARY_SHARE = 0.5  # of its loss: torchvision's references/segmentation/train.py, criterion


class Dilated(Segmenter):
    """Backbone and head of torchvision's network, and that network itself over the same modules."""

    training_only = ("aux_classifier",)

    def __init__(self, config: DilatedConfig) -> None:
        super().__init__()
        self.config: DilatedConfig = config
        options: dict[str, Any] = {
            "weights": None,
            "weights_backbone": None,
            "num_classes": config.num_classes,
        }
        if config.network != "lraspp":
            options["aux_loss"] = config.auxiliary
        whole = getattr(segmentation, config.title)(**options)
        self._whole = (whole,)  # in a tuple: its parameters are here already
        self.backbone, self.classifier = whole.backbone, whole.classifier
        self.aux_classifier = getattr(whole, "aux_classifier", None)

    def maps(self, canvas: Tensor) -> dict[str, Tensor]:
        """As every network's."""
        return self._maps(canvas, self.backbone(canvas))

    def _maps(self, canvas: Tensor, features: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.config.network == "lraspp":
            taps = {"low": features["low"], "high": features["high"]}
            scores = self.classifier(features)
        else:
            (tap,) = self.config.feature_taps
            taps = {tap: features["out"]}
            scores = self.classifier(features["out"])
        return taps | {"scores": scores.to(canvas.dtype)}

    def enlarged(self, scores: Tensor, canvas: Tensor) -> Tensor:
        """As every network's."""
        return functional.interpolate(scores, size=canvas.shape[-2:], mode="bilinear", align_corners=False)

    def whole(self, canvas: Tensor) -> tuple[Tensor, Tensor]:
        """As every network's, by torchvision's own forward pass."""
        scores: list[Tensor] = []
        hook = self.classifier.register_forward_hook(lambda module, given, output: scores.append(output))
        try:
            logits = self._whole[0](canvas)["out"]
        finally:
            hook.remove()
        return scores[0], logits

    def score_layers(self) -> list[nn.Conv2d]:
        """As every network's."""
        if self.config.network == "lraspp":
            return [self.classifier.low_classifier, self.classifier.high_classifier]
        return [self.classifier[-1]]

    def losses(self, canvas: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """As every network's, and the auxiliary head's."""
        features = self.backbone(canvas)
        scores = self._maps(canvas, features)["scores"]
        losses = {"loss_semantic": cross_entropy(self.enlarged(scores, canvas), labels)}
        if self.aux_classifier is not None:
            beside = self.enlarged(self.aux_classifier(features["aux"]), canvas)
            losses["loss_auxiliary"] = AUXILIARY_SHARE * cross_entropy(beside, labels)
        return losses
