"""Runs one training: from data sets and settings to the checkpoints in a folder."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

import maskrt.training.data as data
from maskrt.models import find_family
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.config import ModelConfig
from maskrt.models.parts.quantisers import observe, plain_weights
from maskrt.models.transfer import take_over
from maskrt.runtime.commands.cli import say as say_always
from maskrt.runtime.errors import (
    CheckpointError,
    ImageError,
    InterruptedTrainingError,
    MaskrtError,
)
from maskrt.runtime.files.atomic import check_writable, claimed_folder, write_text
from maskrt.runtime.files.guard import overwrites
from maskrt.runtime.files.kinds import CHECKPOINT, RUN_FILE, RUN_METRICS
from maskrt.runtime.predictor import Predictor
from maskrt.runtime.tasks import task_of
from maskrt.training.config import TrainConfig
from maskrt.training.keypoint_targets import check_keypoints
from maskrt.training.loop.fit import DetectorModule, first_batches
from maskrt.training.loop.plots import plot_curves, plot_predictions
from maskrt.training.loop.resume import Position, find_position
from maskrt.training.loop.saving import BEST, LAST, record
from maskrt.training.loop.trainer import check_settings, make_trainer
from maskrt.training.run_file import NAME

OBSERVED_BATCHES = 8  # from which the scales of --qat begin
say = rank_zero_only(say_always)  # once, however many processes train


def train(
    dataset: data.Dataset,
    validation: data.Dataset | None,
    model_config: ModelConfig,
    config: TrainConfig,
    output: Path,
    *,
    backbone_weights: str | None = None,
    start: Checkpoint | None = None,
    qat: bool = False,
    resume: bool = False,
    provenance: dict[str, Any] | None = None,
    run_file: str | None = None,
) -> Checkpoint:
    """Train, leaving best.pt, last.pt, metrics.csv, TensorBoard logs and two PNGs in `output`.

    start: a detector whose weights to begin with; `model_config` should come from its own. qat: go on with it
    in eight bits (models/parts/quantisers.py), with its classes.
    run_file: the text of run.yaml, where one is to be left (training/run_file.py).
    resume: go on from the last save in `output`. Raises CheckpointError where there is none,
    DataError where the validation set has other classes or points, MaskrtError where `output` is taken.
    """
    dataset = dataset.for_task(model_config.finds)
    if qat and start is not None:
        dataset = dataset.with_classes(start.classes)
    if validation is not None:
        validation = validation.for_model(dataset.task, dataset.classes)
    check_settings(config, len(dataset), has_validation=validation is not None, qat=qat)
    if config.crop_px and not dataset.has_labels:
        raise MaskrtError(
            f"--set crop_px={config.crop_px}: only pictures with label maps are cut. Leave it out."
        )
    _quiet()
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    facts = {"train_config": dataclasses.asdict(config), **(provenance or {})}
    template = template_for(dataset, validation, model_config, facts)
    family = template.family
    position = Position()
    run_record = record(template, config, len(dataset) * config.passes, qat)
    if resume:
        position = find_position(output, run_record, config)
    else:
        check_free(output)
    model: nn.Module = family.build(template.config)
    if not resume:
        begin(model, template, config, backbone_weights, start)
    contract = template.contract()
    if qat:
        family.fake_quantise(model)
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
    # Of several processes the first holds the folder; they start each other only after it has.
    with rank_zero_only(claimed_folder)(output) or nullcontext():
        if run_file is not None:
            rank_zero_only(write_text)(output / NAME, run_file, RUN_FILE)
        trainer = make_trainer(config, template, run_record, output)
        _fit(trainer, module, output, resume=resume)
        if trainer.is_global_zero:
            session = family.reference(model.eval().cpu(), contract, name="model")
            logs, metric = sorted(output.glob("csv-*/metrics.csv")), task_of(contract).metric(contract)
            plot_curves(logs, output / "curves.png", metric, family.losses)
            _write_figures(output, Predictor(session), validation or dataset, module.metrics)
    return dataclasses.replace(template, state_dict=plain_weights(model), metrics=module.metrics)


def template_for(
    dataset: data.Dataset,
    validation: data.Dataset | None,
    model_config: ModelConfig,
    provenance: dict[str, Any],
) -> Checkpoint:
    """The checkpoint of a run before it has weights: the model that fits the data.

    Raises CheckpointError for a family that is not trained here, DataError for points that do not fit.
    """
    keypoints = check_keypoints(dataset, validation) if model_config.keypoints_found else None
    family = find_family(model_config.family)
    if family.inference_only:
        raise CheckpointError(family.inference_only)
    return Checkpoint(
        config=family.for_data(model_config, len(dataset.classes), len(keypoints.names) if keypoints else 0),
        classes=dataset.classes,
        keypoints=keypoints,
        state_dict={},
        provenance=provenance,
    )


def _write_figures(output: Path, model: Predictor, shown: data.Dataset, metrics: dict[str, float]) -> None:
    """Write predictions on the data set `shown`, and the metrics of a run that is done."""
    plot_predictions(model, shown, output / "predictions.png")
    write_text(output / "metrics.json", json.dumps(metrics, indent=1), RUN_METRICS)


def check_free(output: Path) -> None:
    """Raise CheckpointError where a folder holds a trained model, unless it may be overwritten."""
    check_writable(
        *((output / name, CHECKPOINT) for name in (BEST, LAST)), (output / "metrics.json", RUN_METRICS)
    )
    if overwrites():
        return
    if (output / "last.ckpt").exists():
        raise CheckpointError(
            f"{output / 'last.ckpt'}: the folder holds another run. Go on with it: --resume; "
            "or choose another: -o FOLDER; or have it replaced: --overwrite"
        )
    if held := [output / name for name in (BEST, LAST) if (output / name).exists()]:
        raise CheckpointError(
            f"{held[0]}: the folder holds a trained model. Choose another: -o FOLDER; or have it replaced: "
            "--overwrite"
        )


def _fit(trainer: lightning.Trainer, module: DetectorModule, output: Path, *, resume: bool) -> None:
    try:
        trainer.fit(module, ckpt_path=str(output / "last.ckpt") if resume else None)
    except (KeyboardInterrupt, SystemExit) as stopped:  # Lightning ends the process on Ctrl-C, without a word
        kept = (output / "last.ckpt").is_file()
        raise InterruptedTrainingError(
            f"interrupted; what was finished is in {output}. Go on after the last save: the same "
            "command with --resume"
            if kept
            else "interrupted before anything was saved. Start again: the same command"
        ) from stopped
    except FloatingPointError as error:
        raise MaskrtError(f"training diverged: {error}. Lower --lr or set --set clip=1.") from error
    except ImageError as error:
        # From a process that loads images it comes as its traceback's text, which ends with the sentence.
        raise ImageError(str(error).rpartition("ImageError: ")[2]) from error


def begin(
    model: nn.Module,
    template: Checkpoint,
    config: TrainConfig,
    backbone_weights: str | None,
    start: Checkpoint | None,
) -> None:
    """Create a model with its initial weights. template: the model without weights.

    Raises MaskrtError where frozen layers would be random.
    """
    if start is not None:
        left_out = take_over(model, start, template.classes, template.keypoints)
        if left_out:
            say(f"left out, and learned anew: {', '.join(left_out)}")
    elif backbone_weights:
        template.family.load_backbone(model, template.config, backbone_weights)
    else:
        template.family.check_untrained(template.config)
        if config.layers != "all":
            raise MaskrtError(
                f"--layers {config.layers}: the layers that do not learn are random. Start from weights: "
                "--from CHECKPOINT or --backbone imagenet"
            )


def _quiet() -> None:
    """Keep Lightning's advertising and advice to developers off the user's terminal."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", module="torch")
