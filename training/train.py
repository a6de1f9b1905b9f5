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
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

import training.data as data
from runtime.cli import run, say
from runtime.coco_metrics import KINDS
from runtime.contract import Category
from runtime.errors import CheckpointError, InterruptedTrainingError, MaskrtError
from runtime.files import write_text
from runtime.predictor import Predictor
from training.checkpoint import Checkpoint, parse_checkpoint, read_checkpoint, read_weights_file
from training.config import PRESETS, QAT, TrainConfig, override
from training.eager import EagerSession
from training.fit import DetectorModule, SaveCheckpoints
from training.loader import training_loader
from training.models import MaskRcnnConfig, build_mask_rcnn
from training.plots import plot_curves, plot_predictions
from training.pretrained import load_backbone
from training.progress import LossBar
from training.qat import fake_quantise, observe, plain_weights

OBSERVED_BATCHES = 8  # from which the scales of --qat begin


def train(
    dataset: data.Dataset,
    validation: data.Dataset | None,
    model_config: MaskRcnnConfig,
    config: TrainConfig,
    output: Path,
    *,
    backbone_weights: str | None = None,
    qat: Checkpoint | None = None,
    resume: bool = False,
    provenance: dict[str, Any] | None = None,
) -> Checkpoint:
    """Train, leaving best.pt, last.pt, metrics.csv, TensorBoard logs and two PNGs in `output`.

    qat: start from this checkpoint, in eight bits (training/qat.py); `model_config` is then its own.
    resume: go on from the last finished epoch in `output`. Raises CheckpointError where there is none,
    DataError where the validation set has other classes.
    """
    if qat is not None:
        dataset = dataset.with_classes(qat.classes)
    if validation is not None:
        validation = validation.with_classes(dataset.classes)
    last = output / "last.ckpt"
    _quiet()
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    model_config = dataclasses.replace(model_config, num_classes=len(dataset.classes) + 1)
    start_epoch = 0
    if resume:
        start_epoch = check_resumable(output, model_config, dataset.classes, config.epochs)
    elif last.exists():
        raise CheckpointError(
            f"{last}: the folder holds another run. Go on with it: --resume; or choose another: -o FOLDER."
        )
    elif model_config.norm == "frozen_bn" and backbone_weights is None and qat is None:
        raise MaskrtError(
            "frozen batch norms around random weights learn nothing. Give the backbone that they belong to "
            "(--backbone imagenet, or a file), or train the norms: --set norm=bn"
        )
    model = build_mask_rcnn(model_config)
    if backbone_weights and not resume:
        load_backbone(model, model_config, backbone_weights)
    if qat is not None:
        model.load_state_dict(qat.state_dict)
        fake_quantise(model)
    template = Checkpoint(
        config=model_config,
        classes=dataset.classes,
        state_dict={},
        provenance={"train_config": dataclasses.asdict(config), **(provenance or {})},
    )
    contract = template.contract()
    module = DetectorModule(model, config, contract, validation)
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=config.epochs,
        precision=config.precision,  # type: ignore[arg-type]
        gradient_clip_val=config.clip or None,
        # On a CPU every operator used is deterministic already. Asked for, torchvision swaps its RoIAlign for
        # one in Python, which doubles the step.
        deterministic=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
        logger=[
            # A resumed run logs to a file of its own: Lightning's logger deletes what it finds.
            CSVLogger(output, name="", version=f"csv-{len(list(output.glob('csv-*'))) + 1:02d}"),
            TensorBoardLogger(output, name="", version="tensorboard"),
        ],
        callbacks=[
            LossBar(),
            LearningRateMonitor("step"),
            SaveCheckpoints(output, template),
            ModelCheckpoint(  # last.ckpt after each epoch, for --resume
                output, "last", save_top_k=1, save_on_train_epoch_end=True, enable_version_counter=False
            ),
        ],
    )
    loader = training_loader(
        dataset,
        contract.canvas,
        augment=config.augment,
        batch=config.batch,
        workers=config.workers,
        seed=config.seed,
        epoch=start_epoch,
    )
    if qat is not None and not resume:
        observe(model, islice(loader, OBSERVED_BATCHES))
    try:
        trainer.fit(module, loader, ckpt_path=str(last) if resume else None)
    except (KeyboardInterrupt, SystemExit) as stopped:  # Lightning ends the process on Ctrl-C, without a word
        raise InterruptedTrainingError(
            f"interrupted; what was finished is in {output}. Go on after the last whole epoch: the same "
            "command with --resume"
        ) from stopped
    except FloatingPointError as error:
        raise MaskrtError(f"training diverged: {error}. Lower --lr or set --set clip=1.") from error
    plot_curves(sorted(output.glob("csv-*/metrics.csv")), output / "curves.png")
    session = EagerSession(model.eval().cpu(), contract, name="model")
    plot_predictions(Predictor(session), validation or dataset, output / "predictions.png")
    write_text(output / "metrics.json", json.dumps(module.metrics, indent=1))
    return dataclasses.replace(template, state_dict=plain_weights(model), metrics=module.metrics)


def check_resumable(output: Path, config: MaskRcnnConfig, classes: tuple[Category, ...], epochs: int) -> int:
    """Epochs that the run in `output` has done.

    Raises CheckpointError unless it is one of this model and these classes with epochs left to do.
    """
    if not (output / "last.ckpt").is_file():
        raise CheckpointError(
            f"{output / 'last.ckpt'}: nothing to resume from. Start afresh: leave out --resume."
        )
    last = parse_checkpoint(*read_weights_file(output / "last.pt"), str(output / "last.pt"))
    if last.config != config or last.classes != classes:
        differs = "classes" if last.classes != classes else "model settings"
        raise CheckpointError(
            f"{output / 'last.pt'}: a run with other {differs}. Repeat its command as it was, or start "
            "afresh in another folder: -o FOLDER"
        )
    if last.provenance["epoch"] >= epochs:
        raise CheckpointError(
            f"{output / 'last.pt'}: already at epoch {last.provenance['epoch']} of {epochs}. "
            "For more: --epochs"
        )
    return int(last.provenance["epoch"])


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
    preset: Annotated[str, typer.Option(help="small (from scratch, minutes) or paper")] = "small",
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images per step")] = None,
    lr: Annotated[float | None, typer.Option(min=0, help="Peak learning rate")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same run")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of the model or the run; repeatable")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="'imagenet' (downloads) or a ResNet's .pth")] = None,
    qat: Annotated[
        Path | None, typer.Option(help="Fine-tune this checkpoint in eight bits, for maskrt calibrate")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last whole epoch")] = False,
    format: Annotated[str, typer.Option(help="auto, or one of docs/training.md")] = "auto",
    images: Annotated[Path | None, typer.Option(help="Folder of DATA's images")] = None,
    val_images: Annotated[Path | None, typer.Option(help="Folder of VAL's images")] = None,
    class_name: Annotated[str, typer.Option(help="Name of the one class of a VIA file")] = "object",
    class_attribute: Annotated[str | None, typer.Option(help="VIA region attribute with the class")] = None,
    skip_bad: Annotated[bool, typer.Option(help="Drop malformed annotations")] = False,
) -> None:
    """Train Mask R-CNN on annotated images.

    Every setting: docs/training.md. Example: maskrt train --data data/train --val data/val -o out/mine
    """
    if preset not in PRESETS:
        raise MaskrtError(f"--preset {preset}: expected one of {', '.join(PRESETS)}.")
    model_config, config = PRESETS[preset]
    start = read_checkpoint(qat) if qat else None
    if start is not None:
        model_config, config = start.config, QAT
    chosen: dict[str, Any] = {"epochs": epochs, "batch": batch, "lr": lr, "seed": seed}
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
        qat=start,
        resume=resume,
        provenance={"data": data_spec, "validation": val, "torch": str(torch.__version__)},
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
