"""MMDetection's MaskRCNN, as its own configurations have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.originals.original import Original, outputs_of, result_of
from maskrt.runtime.backends.open import Outputs
from maskrt.runtime.contract import Category
from maskrt.runtime.tasks.instances.result import Result


class MMDetection(Original):
    """config: of its package, e.g. "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"."""

    def __init__(self, config: str) -> None:
        from importlib.resources import files

        from mmdet.registry import MODELS
        from mmdet.utils import register_all_modules
        from mmengine.config import Config

        register_all_modules(init_default_scope=True)
        self._config = Config.fromfile(str(files("mmdet") / ".mim" / "configs" / config))
        self._config.model.backbone.init_cfg = None
        self.model = MODELS.build(self._config.model).eval()

    def file(self, weights: dict[str, Tensor]) -> tuple[str, dict[str, Any]]:
        """As its runner writes them, without the optimizer."""
        counters = {k: v for k, v in self.model.state_dict().items() if k.endswith("num_batches_tracked")}
        return ".pth", {"state_dict": weights | counters, "meta": {"cfg": self._config.pretty_text}}

    @torch.inference_mode()
    def infer(self, image: NDArray[np.uint8], detections: int) -> Outputs:
        """As `Original.infer`."""
        from mmdet.structures import DetDataSample

        height, width = image.shape[:2]
        shapes = {"img_shape": (height, width), "ori_shape": (height, width), "scale_factor": (1.0, 1.0)}
        bgr = torch.from_numpy(image[:, :, ::-1].transpose(2, 0, 1).copy())
        data = self.model.data_preprocessor(
            {"inputs": [bgr], "data_samples": [DetDataSample(metainfo=shapes)]}
        )
        logits: list[Tensor] = []
        head = getattr(self.model.roi_head, "mask_head", None)
        hook = head.register_forward_hook(lambda *call: logits.append(call[2])) if head else None
        (sample,) = self.model.predict(data["inputs"], data["data_samples"], rescale=False)
        found, masks = sample.pred_instances, None
        if hook:
            hook.remove()
            masks = logits[0][torch.arange(len(found)), found.labels].sigmoid()
        return outputs_of(found.bboxes, found.scores, found.labels, masks, detections)

    def photograph(
        self, path: Path, short_px: int, long_px: int, square: bool, classes: tuple[Category, ...]
    ) -> Result:
        """As `Original.photograph`, by its inference_detector."""
        from mmdet.apis import inference_detector

        for step in self._config.test_dataloader.dataset.pipeline:
            if step.type == "Resize":
                step.scale = (long_px, short_px)
        self.model.cfg = self._config
        self.model.data_preprocessor.pad_size_divisor = long_px if square else 32
        found = inference_detector(self.model, str(path)).pred_instances.numpy()
        return result_of(found.bboxes, found.scores, found.labels, found.masks, classes)
