"""Mask AP by whose rules pictures are resized and masks pasted: which is better for a model trained here?

    python -m benchmarks.pixel_rules best.pt --data droplets/val --class-name droplet
    python -m benchmarks.pixel_rules torch.pt pil.pt --data synthetic:40:99 --own

The first line is the first checkpoint by its own rules, to which the others are held: the difference in mask
AP with the 95% interval of `maskrt calibrate`, from the bootstrap over the pictures, paired. What another
seed of the training would give is not in it: give checkpoints of two.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.load import load_checkpoint
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.runtime.backends.session import Outputs
from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.annotated import Annotated, Side
from maskrt.runtime.preprocess import Batch, preprocess
from maskrt.runtime.tasks import task_of
from maskrt.training.data import load_dataset

RESIZES = ("torch", "pil")
PASTES = ("torchvision", "pixel_middles", "matterport")
SIZES = ("ap75", "ap_small", "ap_medium", "ap_large")
Seen = list[tuple[Batch, Outputs]]


def found(checkpoint: Checkpoint, contract: Contract, dataset: Any) -> Seen:
    """What the network gives for each picture, resized as the contract says."""
    session = EagerSession(checkpoint.build(), contract, name="")
    batches = (preprocess([sample.image()], contract.canvas) for sample in dataset)
    return [(batch, session.infer(batch.images, batch.image_sizes)) for batch in batches]


def scored(seen: Seen, contract: Contract, paste: str, dataset: Any) -> Side:
    """The same with masks pasted by that rule."""
    masks = dataclasses.replace(contract.options.masks, paste=paste)
    contract = dataclasses.replace(contract, options=dataclasses.replace(contract.options, masks=masks))
    task = task_of(contract)
    side = Side(dataset.for_model(contract.task, contract.classes), task.metric(contract))
    for place, (batch, outputs) in enumerate(seen):
        side.add(place, task.decode(outputs, batch, contract)[0])
    return side


def sides(path: Path, dataset: Any, *, own: bool) -> Iterator[tuple[str, str, Contract, Side]]:
    """A checkpoint by its own rules, then, unless these are all, by each; one resize after the other."""
    checkpoint = load_checkpoint(path)
    config: Any = checkpoint.config
    first = config.resize, config.mask_paste
    rules = [first] if own else sorted(product(RESIZES, PASTES), key=lambda rule: (rule != first, rule))
    seen: dict[str, Seen] = {}
    for resize, paste in rules:
        contract = checkpoint.with_settings({"resize": resize}, "a rule").contract()
        if resize not in seen:
            seen[resize] = found(checkpoint, contract, dataset)
        yield resize, paste, contract, scored(seen[resize], contract, paste, dataset)


def main() -> None:
    """Print a line a rule of the table in docs/checkpoints.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--data", required=True, help="annotated pictures, as maskrt evaluate takes them")
    parser.add_argument("--images", type=Path, help="their folder, if not beside")
    parser.add_argument("--class-name", default="object", help="of annotations without names")
    parser.add_argument("--own", action="store_true", help="each checkpoint by its own rules alone")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    dataset = load_dataset(arguments.data, images_dir=arguments.images, class_name=arguments.class_name)
    base: Side | None = None
    for path in arguments.checkpoints:
        for resize, paste, contract, side in sides(path, dataset, own=arguments.own):
            base = base or side
            fitting = dataset.for_model(contract.task, contract.classes)
            print(f"| {path} | {resize} | {paste} | {line(fitting, contract, base, side)} |", flush=True)


def line(dataset: Any, contract: Contract, base: Side, side: Side) -> str:
    """Mask AP, its difference from the first line's with the interval, AP75, AP by size of the objects."""
    metric = task_of(contract).metric(contract)
    pair = Annotated(dataset, metric, reference=base)
    pair.candidate = side
    apart, figures = pair.difference()["mask"], metric.figures(dataset, side.parts)
    difference = f"{apart['difference']:+.3f} ({apart['low']:+.3f} to {apart['high']:+.3f})"
    sizes = ("–" if (value := figures[f"mask_{size}"]) < 0 else f"{value:.3f}" for size in SIZES)
    return " | ".join((f"{apart['candidate']:.3f}", difference, *sizes))


if __name__ == "__main__":
    main()
