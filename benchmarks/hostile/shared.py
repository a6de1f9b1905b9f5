"""Valid files that every case finds in its folder; a case damages a copy, never these.

tiny.onnx: three known detections, some kilobytes; best.pt: R18-FPN with random weights, real.onnx: exported
from it; bundle.npz: of `parity record`; an.engine: a header and a plan of zeros; photo.png; ann.json: COCO.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import onnx

from benchmarks.hostile.run import main_of
from benchmarks.samples import confident_checkpoint, scene
from maskrt.runtime.backends.trt.engine_file import write_engine
from maskrt.runtime.contract import METADATA_KEY
from tests.runtime.conftest import make_contract, tiny_model
from tests.runtime.engines import HEADER

COCO = {
    "images": [{"id": 1, "file_name": "photo.png", "width": 96, "height": 64}],
    "categories": [{"id": 1, "name": "thing"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 40, 30], "area": 1200, "iscrowd": 0,
         "segmentation": [[4, 4, 44, 4, 44, 34, 4, 34]]}
    ],
}  # fmt: skip


def make_small(folder: Path) -> None:
    """The files that need no network."""
    model = tiny_model(make_contract())
    model.metadata_props.add(key=METADATA_KEY, value=make_contract().to_json())
    (folder / "tiny.onnx").write_bytes(model.SerializeToString())
    onnx.checker.check_model(model)
    cv2.imwrite(str(folder / "photo.png"), cv2.resize(scene(), (96, 64)))
    cv2.imwrite(str(folder / "photo.jpg"), cv2.resize(scene(), (96, 64)))
    (folder / "ann.json").write_text(json.dumps(COCO))
    write_engine(folder / "an.engine", HEADER, np.zeros(256, np.uint8))


def make_large(folder: Path) -> None:
    """Those of a network, some seconds."""
    settings = {"min_size_px": 64, "max_size_px": 96, "rpn_post_nms_test": 20, "fpn_channels": 16}
    checkpoint = confident_checkpoint("resnet18", num_classes=2, mask_convs=(16,), **settings)
    checkpoint.save(folder / "best.pt")
    os.chdir(folder)
    for line in (
        ["export", "best.pt", "-o", "real.onnx", "--height", "64", "--width", "96"],
        ["parity", "record", "best.pt", "photo.png", "-o", "bundle.npz", "--height", "64", "--width", "96"],
    ):
        try:
            main_of(line[0])(line[1:])
        except SystemExit as ended:
            if ended.code:
                raise RuntimeError(f"{line} ended with {ended.code}") from ended


def lay_out(shared: Path, folder: Path) -> None:
    """Hard links of the shared files in a case's folder."""
    folder.mkdir(parents=True)
    for path in shared.iterdir():
        os.link(path, folder / path.name)
