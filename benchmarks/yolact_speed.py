"""From picture to masks: files of ours, and the authors' code in eager PyTorch, interleaved in one process.

    python -m benchmarks.yolact_speed picture.jpg --models yolact.onnx yolact.int8.onnx
    python -m benchmarks.yolact_speed picture.jpg --models … --authors yolact/ --weights yolact_base_1_10.pth

--authors: a copy of dbolya/yolact, which runs as it is, but on the CPU; its configuration is told by the name
of the weights. Without it the first model is what the others are held to. --nms times Fast NMS alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from maskrt.models.yolact.suppression import fast_nms
from maskrt.runtime.backends.open_onnx import installed
from maskrt.runtime.bench import interleave, print_timings
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.predictor import load

PAIRS, CLASSES, OF_A_CLASS, KEPT, IOU = 1000, 80, 200, 100, 0.5  # as YolactConfig has them for COCO
SIDE_PX, BOX_PX = 550, 150


def authors(folder: Path, weights: Path) -> Callable[[NDArray[np.uint8]], Any]:
    """Their code from a picture (H, W, 3) RGB to its masks, on the CPU."""
    sys.path.insert(0, str(folder))
    here: Any = torch
    here.cuda.current_device, here.Tensor.cuda = lambda: 0, lambda tensor, *_, **__: tensor
    from data import cfg, set_cfg
    from layers.output_utils import postprocess
    from utils.augmentations import FastBaseTransform
    from yolact import Yolact

    set_cfg(f"{weights.stem.rsplit('_', 2)[0]}_config")
    cfg.mask_proto_debug = False
    network = Yolact()
    network.load_weights(str(weights))
    network.eval()
    network.detect.use_fast_nms, network.detect.use_cross_class_nms = True, False
    resized = FastBaseTransform()

    @torch.no_grad()
    def found(picture: NDArray[np.uint8]) -> Any:
        pixels = torch.from_numpy(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)).float()
        return postprocess(network(resized(pixels[None])), *picture.shape[1::-1])

    return found


class Suppression(nn.Module):
    """Fast NMS as it is exported, with the choice of the rows that are kept."""

    def forward(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """The scores of the best rows."""
        left = fast_nms(boxes, scores, labels, scores > 0, iou=IOU, of_a_group=OF_A_CLASS)
        return torch.topk(torch.where(left, scores, -1.0), KEPT).values


def suppression(threads: int) -> Callable[[], Any]:
    """A run of it in ONNX Runtime, on random boxes."""
    generator = torch.Generator().manual_seed(0)
    corner, extent = torch.rand(2, 1, PAIRS, 2, generator=generator)
    boxes = torch.cat([corner * SIDE_PX, corner * SIDE_PX + extent * BOX_PX], 2)
    scores = torch.rand(1, PAIRS, generator=generator).sort(descending=True).values
    given = boxes, scores, torch.randint(0, CLASSES, (1, PAIRS), generator=generator)
    program: Any = torch.onnx.export(Suppression().eval(), given, dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), options)
    feed = {each.name: value.numpy() for each, value in zip(session.get_inputs(), given, strict=True)}
    return partial(session.run, None, feed)


def main() -> None:
    """Print the tables of docs/yolact.md. A time is that of all pictures together, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--models", nargs="+", type=Path, required=True)
    parser.add_argument("--authors", type=Path, help="folder of dbolya/yolact; with --weights")
    parser.add_argument("--weights", type=Path, help="a checkpoint of theirs, as <configuration>_1_10.pth")
    parser.add_argument("--nms", action="store_true")
    parser.add_argument("--backends", nargs="+", default=installed())
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--min-score", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pictures = [read_image(path) for path in arguments.pictures]
    runs: list[tuple[str, Callable[[NDArray[np.uint8]], Any]]] = []
    if arguments.authors:
        runs.append(("the authors'", authors(arguments.authors, arguments.weights)))
    for path in arguments.models:
        for backend in arguments.backends:
            model = load(path, backend=backend, threads=arguments.threads)
            runs.append((f"{path.name} ({backend})", partial(masks, model, arguments.min_score)))
    calls = [(name, partial(over, run, pictures)) for name, run in runs]
    title = f"from {len(pictures)} pictures to masks, {arguments.threads} threads"
    print_timings(interleave(calls, arguments.rounds), title, images=len(pictures))
    if arguments.nms:
        timings = interleave([("Fast NMS", suppression(arguments.threads))], arguments.rounds)
        print_timings(timings, f"of the best {PAIRS} pairs of {CLASSES} classes, ONNX Runtime")


def masks(model: Any, min_score: float, picture: NDArray[np.uint8]) -> Any:
    """All masks that a model of ours finds in a picture."""
    return [found.masks for found in model(picture, min_score=min_score)]


def over(run: Callable[[NDArray[np.uint8]], Any], pictures: list[NDArray[np.uint8]]) -> None:
    """One picture after the other."""
    for picture in pictures:
        run(picture)


if __name__ == "__main__":
    main()
