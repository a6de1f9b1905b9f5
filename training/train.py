"""`maskrt train`: from annotated images to a checkpoint."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import lightning
import torch
import typer
from lightning.pytorch.utilities import rank_zero_only
from torchvision.models.detection import FasterRCNN

import training.data as data
from runtime.cli import run
from runtime.cli import say as say_always
from runtime.coco_metrics import KINDS
from runtime.contract import Category, Keypoints
from runtime.errors import CheckpointError, DataError, InterruptedTrainingError, MaskrtError
from runtime.files import write_text
from runtime.predictor import Predictor
from runtime.siblings import load_checkpoint
from training.checkpoint import Checkpoint, read_checkpoint
from training.config import PRESETS, QAT, TrainConfig, override
from training.eager import EagerSession
from training.fit import DetectorModule, first_batches
from training.models import MaskRcnnConfig, build_mask_rcnn
from training.plots import plot_curves, plot_predictions
from training.pretrained import load_backbone, load_detector
from training.qat import fake_quantise, observe, plain_weights
from training.resume import Position, find_position
from training.saving import record
from training.trainer import check_settings, make_trainer

OBSERVED_BATCHES = 8  # from which the scales of --qat begin
say = rank_zero_only(say_always)  # once, however many processes train


def train(
    dataset: data.Dataset,
    validation: data.Dataset | None,
    model_config: MaskRcnnConfig,
    config: TrainConfig,
    output: Path,
    *,
    backbone_weights: str | None = None,
    start: Checkpoint | None = None,
    qat: bool = False,
    resume: bool = False,
    provenance: dict[str, Any] | None = None,
) -> Checkpoint:
    """Train, leaving best.pt, last.pt, metrics.csv, TensorBoard logs and two PNGs in `output`.

    start: a detector whose weights to begin with; `model_config` should come from its own. qat: go on with it
    in eight bits (training/qat.py), with its classes.
    resume: go on from the last save in `output`. Raises CheckpointError where there is none,
    DataError where the validation set has other classes.
    """
    if qat and start is not None:
        dataset = dataset.with_classes(start.classes)
    if validation is not None:
        validation = validation.with_classes(dataset.classes)
    check_settings(config, len(dataset), has_validation=validation is not None, qat=qat)
    _quiet()
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    model_config = dataclasses.replace(model_config, num_classes=len(dataset.classes) + 1)
    keypoints = None
    if model_config.task == "keypoint":
        keypoints = check_keypoints(dataset)
        model_config = dataclasses.replace(model_config, num_keypoints=len(keypoints.names))
    template = Checkpoint(
        config=model_config,
        classes=dataset.classes,
        keypoints=keypoints,
        state_dict={},
        provenance={"train_config": dataclasses.asdict(config), **(provenance or {})},
    )
    position = Position()
    run_record = record(template, config, len(dataset), qat)
    if resume:
        position = find_position(output, run_record, config)
    elif (output / "last.ckpt").exists():
        raise CheckpointError(
            f"{output / 'last.ckpt'}: the folder holds another run. Go on with it: --resume; "
            "or choose another: -o FOLDER."
        )
    model = build_mask_rcnn(model_config)
    if not resume:
        begin(model, model_config, config, dataset.classes, backbone_weights, start)
    contract = template.contract()
    if qat:
        fake_quantise(model)
        if not resume:
            first = first_batches(dataset, contract.canvas, config)
            observe(model, islice(first, OBSERVED_BATCHES))
    module = DetectorModule(
        model,
        config,
        contract,
        dataset,
        validation,
        epoch=position.epoch,
        batches_done=position.batches_done,
    )
    trainer = make_trainer(config, template, run_record, output)
    try:
        trainer.fit(module, ckpt_path=str(output / "last.ckpt") if resume else None)
    except (KeyboardInterrupt, SystemExit) as stopped:  # Lightning ends the process on Ctrl-C, without a word
        raise InterruptedTrainingError(
            f"interrupted; what was finished is in {output}. Go on after the last save: the same "
            "command with --resume"
        ) from stopped
    except FloatingPointError as error:
        raise MaskrtError(f"training diverged: {error}. Lower --lr or set --set clip=1.") from error
    if trainer.is_global_zero:
        plot_curves(sorted(output.glob("csv-*/metrics.csv")), output / "curves.png")
        session = EagerSession(model.eval().cpu(), contract, name="model")
        plot_predictions(Predictor(session), validation or dataset, output / "predictions.png")
        write_text(output / "metrics.json", json.dumps(module.metrics, indent=1))
    return dataclasses.replace(template, state_dict=plain_weights(model), metrics=module.metrics)


def begin(
    model: FasterRCNN,
    model_config: MaskRcnnConfig,
    config: TrainConfig,
    classes: tuple[Category, ...],
    backbone_weights: str | None,
    start: Checkpoint | None,
) -> None:
    """Give a new model the weights to start with. Raises MaskrtError where frozen layers would be random."""
    if start is not None:
        left_out = load_detector(model, start, classes)
        if left_out:
            say(f"left out, as the classes differ: {', '.join(left_out)}")
    elif backbone_weights:
        load_backbone(model, model_config, backbone_weights)
    elif model_config.norm == "frozen_bn":
        raise MaskrtError(
            "frozen batch norms around random weights learn nothing. Give the backbone that they belong to "
            "(--backbone imagenet, or a file), or a detector (--from), or train the norms: --set norm=bn"
        )
    elif config.layers != "all":
        raise MaskrtError(
            f"--layers {config.layers}: the layers that do not learn are random. Start from weights: "
            "--from CHECKPOINT or --backbone imagenet"
        )


def check_keypoints(dataset: data.Dataset) -> Keypoints:
    """What the points of the data set are. Raises DataError where it has none to learn."""
    if dataset.keypoints is None:
        raise DataError(
            f"{dataset.name}: no keypoints, or a different set a category, so task=keypoint has nothing to "
            "learn. Use a COCO file with one, such as person_keypoints_train2017.json"
        )
    return dataset.keypoints


def _names(dataset: data.Dataset) -> list[str]:
    return [c.name for c in dataset.classes]


def _quiet() -> None:
    """Keep Lightning's advertising and advice to developers off the user's terminal."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", module="torch")


def command(
    data_spec: Annotated[str, typer.Option("--data", help="Annotations, or synthetic[:COUNT[:SEED]]")],
    val: Annotated[str | None, typer.Option(help="Validation data, in the same form")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run")] = Path("out/train"),
    preset: Annotated[
        str, typer.Option(help="small (from scratch, minutes), paper, c4 or mobilenet")
    ] = "small",
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Passes over the data")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Images that a process takes at a time")
    ] = None,
    lr: Annotated[float | None, typer.Option(min=0, metavar="N", help="Peak learning rate")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same run")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of the model or the run; repeatable")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="'imagenet' (downloads) or a classifier's .pth")
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="Checkpoint to start from: ours, torchvision's, …")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Names of the classes of --from, by comma, where it has none")
    ] = None,
    qat: Annotated[
        Path | None, typer.Option(help="Fine-tune this checkpoint in eight bits, for maskrt calibrate")
    ] = None,
    layers: Annotated[str, typer.Option(help="Those that learn, by epoch, e.g. heads:20,4+:40,all")] = "all",
    devices: Annotated[int, typer.Option(min=1, metavar="N", help="GPUs on each machine")] = 1,
    nodes: Annotated[int, typer.Option(min=1, metavar="N", help="Machines; start each with torchrun")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last save")] = False,
    format: Annotated[str, typer.Option(help="auto, or one of docs/training.md")] = "auto",
    images: Annotated[Path | None, typer.Option(help="Folder of DATA's images")] = None,
    val_images: Annotated[Path | None, typer.Option(help="Folder of VAL's images")] = None,
    class_name: Annotated[str, typer.Option(help="Class of a format without any")] = "object",
    class_attribute: Annotated[str | None, typer.Option(help="VIA region attribute with the class")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Drop malformed annotations")] = False,
) -> None:
    """Train Mask R-CNN on annotated images.

    Every setting: docs/training.md. Example: maskrt train --data data/train --val data/val -o out/mine
    """
    if preset not in PRESETS:
        raise MaskrtError(f"--preset {preset}: expected one of {', '.join(PRESETS)}.")
    if sum(map(bool, (start, backbone, qat))) > 1:
        raise MaskrtError("--from, --qat and --backbone each bring weights to start with. Give one of them.")
    model_config, config = PRESETS[preset]
    names = [name.strip() for name in classes.split(",")] if classes else None
    checkpoint = read_checkpoint(qat) if qat else load_checkpoint(start, names) if start else None
    if checkpoint:
        model_config, config = checkpoint.config, QAT if qat else config
    chosen: dict[str, Any] = {"epochs": epochs, "batch": batch, "lr": lr, "seed": seed, "layers": layers}
    chosen |= {"devices": devices, "nodes": nodes, "lr_images": None if lr is None else 0}
    config = dataclasses.replace(config, **{k: v for k, v in chosen.items() if v is not None})
    for text in settings or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise MaskrtError(f"--set {text}: expected KEY=VALUE, e.g. --set min_size_px=512")
        if name in {f.name for f in dataclasses.fields(config)}:
            config = override(config, {name: value})
        else:
            model_config = override(model_config, {name: value})
    options: dict[str, Any] = {"format": format, "skip_bad": skip_bad}
    options |= {"class_name": class_name, "class_attribute": class_attribute}
    dataset = data.load_dataset(data_spec, images_dir=images, **options)
    validation = data.load_dataset(val, images_dir=val_images, **options) if val else None
    for each in filter(None, (dataset, validation)):
        dropped = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in each.dropped.items())
        left_out = f"; left out: {dropped}" if dropped else ""
        say(f"{each.name}: {len(each)} images, classes {', '.join(_names(each))}{left_out}")
    done = train(
        dataset,
        validation,
        model_config,
        config,
        output,
        backbone_weights=backbone,
        start=checkpoint,
        qat=qat is not None,
        resume=resume,
        provenance={
            "data": data_spec,
            "validation": val,
            "start": str(qat or start) if checkpoint else None,
            "torch": str(torch.__version__),
        },
    )
    if done.metrics:
        kind = KINDS[done.config.task][0]
        ap, ap50 = done.metrics[f"{kind}_ap"], done.metrics[f"{kind}_ap50"]
        say(f"after the last epoch: {kind} AP {ap:.3f}, AP50 {ap50:.3f}")
    say(f"checkpoints best.pt and last.pt, curves.png and predictions.png in {output}")


def main(args: list[str] | None = None) -> None:
    """Run the command with `args` (default: those of the process)."""
    run(command, "maskrt train", args)


if __name__ == "__main__":
    main()
