"""Matterport's Mask_RCNN itself, from photographs: a program of its own, beside matterport_model.py.

    python benchmarks/originals/matterport_photographs.py WEIGHTS.h5 SHORT_PX LONG_PX FOUND.npz PHOTOGRAPH…

FOUND, of each photograph by its number: rois_0 (K, 4) y1 x1 y2 x2 in whole px, labels_0 (K,) from 1,
scores_0 (K,), masks_0 (K, H, W) bool. The package's own mold_inputs and unmold_detections do it, with
skimage's resize as the project's last version calls it: without smoothing, which skimage does by itself
since.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import h5py
import keras
import numpy as np
import skimage.io
import skimage.transform
from matterport_model import configured, load, modernise


def main(weights: str, short_px: int, long_px: int, found: str, photographs: list[str]) -> None:
    """Run the original over the photographs."""
    skimage.transform.resize = partial(skimage.transform.resize, anti_aliasing=False)
    mrcnn = modernise()
    with h5py.File(weights) as file:
        config = configured(file, short_px, long_px)
        network = mrcnn.MaskRCNN("inference", config, "logs")
        load(network.keras_model.layers, file)
    layers = ("mrcnn_detection", "mrcnn_mask")
    outputs = {name: network.keras_model.get_layer(name).output for name in layers}
    probe = keras.models.Model(network.keras_model.inputs, outputs)
    results: dict[str, Any] = {}
    for number, photograph in enumerate(photographs):
        image = skimage.io.imread(photograph)
        molded, metas, windows = network.mold_inputs([image])
        anchors = network.get_anchors(molded[0].shape)
        told = probe.predict(
            [given.astype(np.float32) for given in (molded, metas, anchors[None])], verbose=0
        )
        rois, labels, scores, masks = network.unmold_detections(
            told["mrcnn_detection"][0], told["mrcnn_mask"][0], image.shape, molded[0].shape, windows[0]
        )
        results |= {f"rois_{number}": rois, f"labels_{number}": labels, f"scores_{number}": scores}
        results[f"masks_{number}"] = masks.transpose(2, 0, 1).astype(bool)
    np.savez_compressed(found, **results)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5:])
