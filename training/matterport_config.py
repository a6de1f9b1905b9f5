"""Matterport's `Config`: its names for the settings of the model and the run."""

from __future__ import annotations

import dataclasses
from typing import Any

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.config import ModelConfig
from maskrt.runtime.commands.cli import say
from maskrt.runtime.errors import MaskrtError
from maskrt.training.config import TrainConfig, preset, preset_names

# Theirs to ours; what each means is in mrcnn/config.py of matterport/Mask_RCNN.
MODEL = {
    "BACKBONE": "backbone",
    "IMAGE_MIN_DIM": "min_size_px",
    "IMAGE_MAX_DIM": "max_size_px",
    "TOP_DOWN_PYRAMID_SIZE": "fpn_channels",
    "RPN_ANCHOR_SCALES": "anchor_sizes_px",
    "RPN_ANCHOR_RATIOS": "anchor_ratios",
    "RPN_NMS_THRESHOLD": "rpn_nms",
    "RPN_TRAIN_ANCHORS_PER_IMAGE": "rpn_samples",
    "POST_NMS_ROIS_TRAINING": "rpn_post_nms_train",
    "POST_NMS_ROIS_INFERENCE": "rpn_post_nms_test",
    "TRAIN_ROIS_PER_IMAGE": "box_samples",
    "ROI_POSITIVE_RATIO": "box_positive_fraction",
    "POOL_SIZE": "box_roi_size",
    "MASK_POOL_SIZE": "mask_roi_size",
    "DETECTION_MAX_INSTANCES": "max_detections",
    "DETECTION_MIN_CONFIDENCE": "score_threshold",
    "DETECTION_NMS_THRESHOLD": "nms",
}
RUN = {
    "IMAGES_PER_GPU": "batch",
    "GPU_COUNT": "devices",
    "LEARNING_RATE": "lr",
    "WEIGHT_DECAY": "weight_decay",
    "GRADIENT_CLIP_NORM": "clip",
}
NOT_NEEDED = {
    "NAME": "the folder of the run is its name",
    "NUM_CLASSES": "the data set has its classes",
    "STEPS_PER_EPOCH": "an epoch is every image once",
    "VALIDATION_STEPS": "validation is over all of its images",
    "IMAGE_RESIZE_MODE": "the short side is scaled to IMAGE_MIN_DIM, the long one to IMAGE_MAX_DIM at most",
    "IMAGE_MIN_SCALE": "IMAGE_MIN_DIM says it",
    "MEAN_PIXEL": "pixels are normalised as the weights were trained",
    "MAX_GT_INSTANCES": "there is no limit to the objects of an image",
    "USE_MINI_MASK": "masks keep their resolution",
    "MINI_MASK_SHAPE": "masks keep their resolution",
    "MASK_SHAPE": "it is twice MASK_POOL_SIZE",
    "LEARNING_MOMENTUM": "it is 0.9",
    "TRAIN_BN": "NORM says it: frozen_bn, bn or gn",
    "COMPUTE_BACKBONE_SHAPE": "the backbone knows it",
    "BACKBONE_STRIDES": "the backbone knows them",
    "PRE_NMS_LIMIT": "it is 2000 a pyramid level in training, 1000 after",
    "RPN_ANCHOR_STRIDE": "it is 1",
    "LOSS_WEIGHTS": "the losses are added as in the paper",
    "USE_RPN_ROIS": "the proposals are the RPN's",
    "FPN_CLASSIF_FC_LAYERS_SIZE": "it is 1024",
    "IMAGE_CHANNEL_COUNT": "it is 3",
    "RPN_BBOX_STD_DEV": "the RPN's deltas are not scaled",
    "BBOX_STD_DEV": "the box head's deltas are scaled so already",
    "BATCH_SIZE": "it follows from IMAGES_PER_GPU and GPU_COUNT",
    "IMAGE_SHAPE": "it follows from IMAGE_MIN_DIM and IMAGE_MAX_DIM",
    "IMAGE_META_SIZE": "images travel without it",
}


class Config:
    """Settings by Matterport's names, in a subclass; a name that is not set keeps the preset's or the
    weights' value.

    PRESET: as of `maskrt train`. Any of maskrt's own settings may stand beside them in capitals, as AUGMENT.
    """

    PRESET = "small"


def settings(
    config: Config, *, start: Checkpoint | None, epochs: int | None, layers: str
) -> tuple[ModelConfig, TrainConfig]:
    """The model's and the run's settings; the model's are those of `start` but for what `config` sets.

    Says what of `config` has no part here. Raises MaskrtError for a name that is not known.
    """
    given = {name: getattr(config, name) for name in dir(config) if name.isupper()}
    name = given.pop("PRESET")
    known = [each for each in preset_names() if _has_theirs(preset(each)[0])]
    if name not in known:
        raise MaskrtError(
            f"PRESET is {name!r}, expected one of {', '.join(known)}: models with Matterport's settings."
        )
    model, run = preset(name)
    if start is not None:
        model = start.config
        if not _has_theirs(model):
            raise MaskrtError(
                f"the weights are of a {model.title}, which lacks Matterport's settings. Train it by its own "
                "settings: maskrt train --from CHECKPOINT --data DATA"
            )
    of_model: dict[str, Any] = {}
    of_run: dict[str, Any] = {"layers": layers} | ({"epochs": epochs} if epochs else {})
    for name, value in given.items():
        if name in NOT_NEEDED:
            say(f"{type(config).__name__}.{name} = {value!r} has no part here: {NOT_NEEDED[name]}")
        elif name in RUN:
            of_run[RUN[name]] = value
        elif name in MODEL:
            of_model[MODEL[name]] = _converted(name, value)
        elif name.lower() in _fields(run):
            of_run[name.lower()] = value
        elif name.lower() in _fields(model):
            of_model[name.lower()] = value
        else:
            raise MaskrtError(
                f"{type(config).__name__}.{name}: no such setting. Known: {', '.join(sorted(MODEL | RUN))}, "
                "and those of docs/training.md in capitals."
            )
    if "lr" in of_run:
        of_run["lr_images"] = 0  # as it is
    return dataclasses.replace(model, **of_model), dataclasses.replace(run, **of_run)


def _has_theirs(model: ModelConfig) -> bool:
    """Whether all of Matterport's settings mean something there."""
    return set(MODEL.values()) <= _fields(model)


def _fields(settings_of: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(settings_of)}


def _converted(name: str, value: Any) -> Any:
    if name == "RPN_ANCHOR_SCALES":
        return tuple((size,) for size in value)  # one a pyramid level
    if name == "RPN_ANCHOR_RATIOS":
        return tuple(sorted(1 / ratio for ratio in value))  # theirs are width / height
    return value
