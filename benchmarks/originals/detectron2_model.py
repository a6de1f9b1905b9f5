"""Detectron2's GeneralizedRCNN, as its model zoo configures it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.originals.original import Original, outputs_of, result_of
from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.runtime.backends.open import Outputs
from maskrt.runtime.contract import Category
from maskrt.runtime.tasks.instances.result import Result


class Detectron2(Original):
    """config: of its model zoo, e.g. "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml". others: names
    and values by turns, in place of its own."""

    def __init__(self, config: str, others: Sequence[Any] = ()) -> None:
        from detectron2.config import get_cfg
        from detectron2.model_zoo import get_config_file
        from detectron2.modeling import build_model

        settings = get_cfg()
        settings.merge_from_file(get_config_file(config))
        settings.merge_from_list(list(others))
        settings.MODEL.DEVICE = "cpu"
        self.model, self._settings = build_model(settings).eval(), settings

    @property
    def described(self) -> str:
        """The config.yaml that its trainer leaves beside a checkpoint."""
        return str(self._settings.dump())

    def file(self, weights: dict[str, Tensor]) -> tuple[str, dict[str, Any]]:
        """As the zoo's pickles."""
        arrays = {key: tensor.numpy() for key, tensor in weights.items()}
        return ".pkl", {"model": arrays, "__author__": "Detectron2 Model Zoo"}

    @torch.inference_mode()
    def infer(self, image: NDArray[np.uint8], detections: int) -> Outputs:
        """As `Original.infer`."""
        from detectron2.structures import ImageList

        model = self.model
        bgr = torch.from_numpy(image[:, :, ::-1].transpose(2, 0, 1).astype(np.float32))
        normal = (bgr - model.pixel_mean) / model.pixel_std
        # What its own inference() does, but that it pads nothing for C4.
        images = ImageList.from_tensors([normal], MaskRcnnConfig().stride)
        features = model.backbone(images.tensor)
        proposals, _ = model.proposal_generator(images, features)
        (found,), _ = model.roi_heads(images, features, proposals)
        masks = found.pred_masks[:, 0] if found.has("pred_masks") else None
        return outputs_of(found.pred_boxes.tensor, found.scores, found.pred_classes, masks, detections)

    def photograph(
        self, path: Path, short_px: int, long_px: int, square: bool, classes: tuple[Category, ...]
    ) -> Result:
        """As `Original.photograph`, by its DefaultPredictor, which takes what OpenCV reads."""
        from detectron2.engine import DefaultPredictor

        settings = self._settings.clone()
        settings.INPUT.MIN_SIZE_TEST, settings.INPUT.MAX_SIZE_TEST = short_px, long_px
        settings.MODEL.WEIGHTS = ""
        predictor = DefaultPredictor(settings)
        predictor.model = self.model
        self.model.backbone._square_pad = long_px if square else 0  # MODEL.FPN's square_pad
        found = predictor(cv2.imread(str(path)))["instances"]
        boxes, masks = found.pred_boxes.tensor.numpy(), found.pred_masks.numpy()
        return result_of(boxes, found.scores.numpy(), found.pred_classes.numpy(), masks, classes)


def configured_as(config: MaskRcnnConfig) -> list[Any]:
    """Its names and values for a model of ours with an FPN, trained by its rules."""
    shallow = config.backbone in ("resnet18", "resnet34")
    settings = {
        "RESNETS.DEPTH": int(config.backbone.removeprefix("resnet")),
        "RESNETS.RES2_OUT_CHANNELS": 64 if shallow else 256,
        "RESNETS.STRIDE_IN_1X1": config.stride_in_1x1,
        "FPN.OUT_CHANNELS": config.fpn_channels,
        "ROI_MASK_HEAD.NUM_CONV": len(config.mask_convs),
        "ROI_MASK_HEAD.CONV_DIM": config.mask_convs[0],
        "ROI_HEADS.NUM_CLASSES": config.classes_found,
        "RPN.PRE_NMS_TOPK_TEST": config.rpn_pre_nms_test,
        "RPN.POST_NMS_TOPK_TEST": config.rpn_post_nms_test,
        "PIXEL_MEAN": [255 * value for value in reversed(config.mean)],
        "PIXEL_STD": [255 * value for value in reversed(config.std)],
    }
    listed = [each for name, value in settings.items() for each in (f"MODEL.{name}", value)]
    return [*listed, "INPUT.MIN_SIZE_TEST", config.min_size_px, "INPUT.MAX_SIZE_TEST", config.max_size_px]
