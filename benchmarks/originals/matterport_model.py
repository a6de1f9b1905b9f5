"""Matterport's Mask_RCNN itself, on TensorFlow: a program of its own, for an environment of its own.

    python benchmarks/originals/matterport_model.py WEIGHTS.h5 CANVASES.npz FOUND.npz

CANVASES: images (N, H, W, 3) uint8, windows (N, 4) y1 x1 y2 x2 in px. FOUND: detections (N, 100, 6), y1 x1
y2 x2 of 0–1, class, score; masks (N, 100, 28, 28) of their classes; beyond (N, 2), how many RoIs touch the
canvas' right or lower edge and of how many crop_and_resize gave the last samples as zero.

The package is for TensorFlow 1 and Keras 2.1. What stands between it and TensorFlow 2.12 is given to it here:
names that moved, and shapes that Keras no longer asks a layer for. Its own code is left as it is.
"""

from __future__ import annotations

import sys
from typing import Any

import h5py
import keras
import keras.engine
import numpy as np
import tensorflow as tf

MIN_SCORE = 0.05
BLOCKS = {6: "resnet50", 23: "resnet101"}


def modernise() -> Any:
    """mrcnn.model, that finds TensorFlow 1 where it looks for it."""
    np.bool = bool
    keras.engine.Layer = keras.layers.Layer
    tf.log, tf.random_shuffle = tf.math.log, tf.random.shuffle
    tf.to_float = lambda values: tf.cast(values, tf.float32)
    tf.sets.set_intersection, tf.sparse_tensor_to_dense = tf.sets.intersection, tf.sparse.to_dense
    from mrcnn import model

    propose, pool = model.ProposalLayer.call, model.PyramidROIAlign.call

    def proposals(layer: Any, inputs: Any) -> Any:
        found = propose(layer, inputs)
        found.set_shape([1, layer.proposal_count, 4])
        return found

    def pooled(layer: Any, inputs: Any) -> Any:
        found = pool(layer, inputs)
        found.set_shape([1, inputs[0].shape[1], *layer.pool_shape, inputs[2].shape[-1]])
        return found

    model.ProposalLayer.call, model.PyramidROIAlign.call = proposals, pooled
    return model


def configured(weights: h5py.Group, height: int, width: int) -> Any:
    """The base configuration, for the classes and layers of the file."""
    from mrcnn.config import Config

    class Settings(Config):
        NAME, GPU_COUNT, IMAGES_PER_GPU = "original", 1, 1
        NUM_CLASSES = int(weights["mrcnn_class_logits/mrcnn_class_logits/bias:0"].shape[0])
        BACKBONE = BLOCKS[sum(name.startswith("res4") and name.endswith("2a") for name in weights)]
        TOP_DOWN_PYRAMID_SIZE = int(weights["fpn_p2/fpn_p2/bias:0"].shape[0])
        IMAGE_MIN_DIM, IMAGE_MAX_DIM = min(height, width), max(height, width)
        DETECTION_MIN_CONFIDENCE = MIN_SCORE

    return Settings()


def load(layers: Any, file: h5py.Group) -> None:
    """Every weight of every layer; one that is not in the file, or of another shape, stops it."""
    for layer in layers:
        if isinstance(layer, keras.Model):
            load(layer.layers, file[layer.name])
            continue
        stored = file[layer.name] if layer.weights else {}
        for weight in layer.weights:
            values = (stored.get(layer.name, stored))[weight.name.split("/")[-1]][()]
            assert tuple(weight.shape) == values.shape, (weight.name, weight.shape, values.shape)
            weight.assign(values)


def main(weights: str, canvases: str, found: str) -> None:
    """Run the original over the canvases."""
    given = np.load(canvases)
    height, width = given["images"].shape[1:3]
    mrcnn = modernise()
    with h5py.File(weights) as file:
        config = configured(file, height, width)
        network = mrcnn.MaskRCNN("inference", config, "logs")
        load(network.keras_model.layers, file)
    layers = ("mrcnn_detection", "mrcnn_mask", "ROI", "roi_align_classifier")
    outputs = {name: network.keras_model.get_layer(name).output for name in layers}
    probe = keras.models.Model(network.keras_model.inputs, outputs)
    results: dict[str, list[Any]] = {"detections": [], "masks": [], "beyond": []}
    for image, window in zip(given["images"], given["windows"], strict=True):
        molded = mrcnn.mold_image(image.astype(np.float32), config).astype(np.float32)
        meta = mrcnn.compose_image_meta(
            0, image.shape, image.shape, tuple(window), 1.0, np.zeros(config.NUM_CLASSES, np.int32)
        )
        anchors = network.get_anchors(image.shape)
        told = probe.predict(
            [molded[None], meta[None].astype(np.float32), anchors[None].astype(np.float32)], verbose=0
        )
        detections, rois, pooled = (
            told[name][0] for name in ("mrcnn_detection", "ROI", "roi_align_classifier")
        )
        own = told["mrcnn_mask"][0][np.arange(len(detections)), :, :, detections[:, 4].astype(int)]
        cut = (pooled[:, -1] == 0).all(axis=(1, 2)) | (pooled[:, :, -1] == 0).all(axis=(1, 2))
        results["detections"].append(detections)
        results["masks"].append(own)
        results["beyond"].append([(rois[:, 2:] == 1).any(axis=1).sum(), cut.sum()])
    np.savez(found, **{name: np.stack(values) for name, values in results.items()})


if __name__ == "__main__":
    main(*sys.argv[1:4])
