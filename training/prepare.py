"""Prepares a run from the options of `maskrt train`: weights, configurations and data sets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import maskrt.training.data as data
from maskrt.models.checkpoint import Checkpoint, read_checkpoint
from maskrt.models.config import ModelConfig
from maskrt.models.load import load_checkpoint
from maskrt.models.settings import assignments, parse
from maskrt.runtime.commands.options import LabelledPair
from maskrt.runtime.errors import MaskrtError
from maskrt.training.config import QAT, TrainConfig, from_file, preset, preset_names
from maskrt.training.loop.largest_batch import automatic_batch
from maskrt.training.options import AUTO, Chosen, Start
from maskrt.training.run import say
from maskrt.training.run_file import read_run


def check_preset(name: str) -> None:
    """Raise MaskrtError for a preset that no family has."""
    if name not in preset_names():
        raise MaskrtError(f"--preset {name}: expected one of {', '.join(preset_names())}.")


def checkpoint_of(start: Start) -> Checkpoint | None:
    """Checkpoint of the model that a run continues, None where there is none."""
    if start.qat:
        return read_checkpoint(start.qat)
    names = [name.strip() for name in start.classes.split(",")] if start.classes else None
    return load_checkpoint(start.start, names) if start.start else None


def configurations(
    preset_name: str, checkpoint: Checkpoint | None, run_config: Path | None, chosen: Chosen, *, qat: bool
) -> tuple[ModelConfig, TrainConfig]:
    """Model and run settings: of the preset, the checkpoint, the run's file and the options; the last wins.

    Raises MaskrtError for an unknown setting, and for one that follows from the data.
    """
    model_config, config = preset(preset_name)
    if checkpoint:
        model_config = checkpoint.family.continued(checkpoint.config, model_config)
        config = QAT if qat else config
    if run_config:
        model_config, config = from_file(read_run(run_config), model_config, config, str(run_config))
    config = dataclasses.replace(config, **chosen.of_the_run())
    values = parse(assignments(chosen.settings or []), model_config, config)
    if of_data := sorted({"num_classes", "num_keypoints"} & values.keys()):
        raise MaskrtError(f"--set {of_data[0]}: that follows from the annotations of --data. Leave it out.")
    of_run = {f.name for f in dataclasses.fields(config)} & values.keys()
    config = dataclasses.replace(config, **{name: values[name] for name in of_run})
    of_model = {name: value for name, value in values.items() if name not in of_run}
    return dataclasses.replace(model_config, **of_model), config


def load_both(
    spec: str, val: str | None, labelled: LabelledPair, *, skip_bad: bool
) -> tuple[data.Dataset, data.Dataset | None]:
    """Load the data of a run; tells the user what they hold and what was left out."""
    reading = {**labelled.reading(), "skip_bad": skip_bad}
    dataset = data.load_dataset(spec, images_dir=labelled.images, **reading)
    validation = data.load_dataset(val, images_dir=labelled.val_images, **reading) if val else None
    for each in filter(None, (dataset, validation)):
        dropped = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in each.dropped.items())
        left_out = f"; left out: {dropped}" if dropped else ""
        class_names = ", ".join(category.name for category in each.classes)
        say(f"{each.name}: {len(each)} images, classes {class_names}{left_out}")
    return dataset, validation


def with_batch(
    config: TrainConfig, chosen: Chosen, dataset: data.Dataset, model_config: ModelConfig, *, resume: bool
) -> TrainConfig:
    """Run settings with the largest batch that fits, where --batch auto asks for it."""
    if chosen.batch != AUTO:
        return config
    batch = automatic_batch(dataset, model_config, config, resume=resume)
    say(f"--batch auto: {batch} images a step")
    return dataclasses.replace(config, batch=batch)
