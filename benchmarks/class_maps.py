"""Networks for class maps beside torchvision's own: is it the same model, and how fast is it?

`python -m benchmarks.class_maps same [NETWORK …]`: a file of any size and batch, exported from a state dict
of torchvision's, beside torchvision's model in eager mode, on odd sizes and batches.
`python -m benchmarks.class_maps fast`: R50-FCN at 520×693 from the canvas to the class map, interleaved.
Weights are random, and give every class. An INT8 file is timed too where `maskrt calibrate` left one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torchvision.models import segmentation

from benchmarks.samples import scene
from maskrt.export.onnx_model import export_onnx, save_onnx
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.fcn.dilated.config import DilatedConfig
from maskrt.models.fcn.dilated.network import Dilated
from maskrt.models.fcn.random_weights import randomise
from maskrt.models.fcn.reference import margins
from maskrt.models.load import load_checkpoint
from maskrt.runtime.backends.open import open_session
from maskrt.runtime.bench import interleave, print_timings

FOLDER = Path("out/bench")
CLASSES = 21
NETWORKS = {
    "fcn_resnet50": ("fcn", "resnet50"),
    "deeplabv3_resnet50": ("deeplabv3", "resnet50"),
    "lraspp_mobilenet_v3_large": ("lraspp", "mobilenet_v3_large"),
}
SIZES = ((1, 97, 131), (2, 120, 88), (3, 64, 65))  # images, height, width
SURE = 1e-4  # of the margin between the two best classes
HEIGHT_PX, WIDTH_PX, ROUNDS = 520, 693, 9


def make(name: str) -> tuple[Any, Checkpoint]:
    """torchvision's network with confident random weights, and the checkpoint read from its state dict."""
    network, backbone = NETWORKS[name]
    torch.manual_seed(0)
    config = DilatedConfig(network=network, backbone=backbone, auxiliary=network != "lraspp")
    options = {"aux_loss": True} if config.auxiliary else {}
    theirs = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=CLASSES, **options)
    theirs.load_state_dict(randomise(Dilated(config), scene()).state_dict())
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.save(theirs.state_dict(), FOLDER / f"{name}.pth")
    return theirs.eval(), load_checkpoint(FOLDER / f"{name}.pth")


def normalised(images: np.ndarray) -> torch.Tensor:
    """(N, H, W, 3) uint8 → (N, 3, H, W), as torchvision's presets do it."""
    preset = DilatedConfig()
    mean, std = (torch.tensor(values)[:, None, None] for values in (preset.mean, preset.std))
    return (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std


@torch.inference_mode()
def same(name: str) -> None:
    """Say how many pixels differ, and how many of them where torchvision is sure."""
    theirs, checkpoint = make(name)
    contract, path = checkpoint.contract(), FOLDER / f"{name}.onnx"
    save_onnx(export_onnx(checkpoint, contract), path)
    session = open_session(path)
    for count, height, width in SIZES:
        pictures = np.stack([cv2.resize(scene(k), (width, height)) for k in range(count)])
        logits = theirs(normalised(pictures))["out"]
        sizes = np.array([[height, width]] * count, np.float32)
        labels = session.infer(pictures, sizes)["semantic"]
        differ = labels != logits.argmax(dim=1).numpy()
        lead = torch.stack([margins(one) for one in logits]).numpy()
        print(
            f"{name}, {count} x {height} x {width}: {differ.sum()} of {differ.size} pixels differ, "
            f"{(differ & (lead > SURE)).sum()} of them where the margin is above {SURE:g}; "
            f"{len(np.unique(labels))} classes"
        )


def fast() -> None:
    """Seconds of each, in turn; medians and how many times eager's."""
    theirs, checkpoint = make("fcn_resnet50")
    contract = checkpoint.contract(height_px=HEIGHT_PX, width_px=WIDTH_PX, batch=1)
    path = FOLDER / "fcn_resnet50-fixed.onnx"
    save_onnx(export_onnx(checkpoint, contract), path)
    picture = cv2.resize(scene(), (WIDTH_PX, HEIGHT_PX))[None]
    sizes = np.array([[HEIGHT_PX, WIDTH_PX]], np.float32)

    @torch.inference_mode()
    def eager() -> Any:
        return theirs(normalised(picture))["out"].argmax(dim=1)

    runs: list[tuple[str, Callable[[], Any]]] = [("torchvision eager", eager)]
    int8 = FOLDER / "fcn_resnet50-fixed.int8.onnx"
    for label, file, backend in (
        ("ONNX Runtime FP32", path, "onnxruntime"),
        ("OpenVINO FP32", path, "openvino"),
        ("ONNX Runtime INT8", int8, "onnxruntime"),
        ("OpenVINO INT8", int8, "openvino"),
    ):
        if file.exists():
            session = open_session(file, backend=backend, threads=torch.get_num_threads())
            runs.append((label, partial(session.infer, picture, sizes)))
    print_timings(interleave(runs, ROUNDS), f"R50-FCN at {HEIGHT_PX}x{WIDTH_PX}, to the class map")


def main(arguments: list[str]) -> None:
    """Run what the first argument names."""
    if arguments[:1] == ["fast"]:
        fast()
        return
    for name in arguments[1:] or NETWORKS:
        same(name)


if __name__ == "__main__":
    main(sys.argv[1:])
