"""`maskrt train`: from annotated images to a checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from maskrt.models.settings import assignments, parse
from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.program import Program
from maskrt.runtime.siblings import load_checkpoint
from maskrt.runtime.tasks.instances.measure.coco import KINDS
from maskrt.training.run_file import NAME, describe_run, read_run

AUTO = "auto"


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Take the options that a run's file gives for those that the command line does not."""
    if path is not None and not context.resilient_parsing:
        context.default_map = read_run(path).options
    return path


def _batch(text: str | None) -> str | None:
    """Check --batch. Raises typer.BadParameter."""
    if text not in (None, AUTO) and not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise typer.BadParameter(f"{text!r} is neither a number from 1 on nor {AUTO}.")
    return text


def command(
    data_spec: Annotated[str, typer.Option("--data", help="Annotations, or synthetic[:COUNT[:SEED]]")],
    val: Annotated[str | None, typer.Option(help="Validation data, in the same form")] = None,
    run_config: Annotated[
        Path | None,
        typer.Option("--config", is_eager=True, callback=_read_config, help="A run's file, as run.yaml"),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run"), Writes(None)] = Path(
        "out/train"
    ),
    preset: Annotated[
        str, typer.Option(help="small (from scratch, minutes), tiny, paper, c4 or mobilenet")
    ] = "small",
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Passes over the data")] = None,
    batch: Annotated[
        str | None,
        typer.Option(metavar="N", callback=_batch, help="Images a process takes at a time, or auto"),
    ] = None,
    lr: Annotated[float | None, typer.Option(min=0, metavar="N", help="Peak learning rate")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same run; default: 0")] = None,
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
    layers: Annotated[
        str | None, typer.Option(help="Those that learn, by epoch, e.g. heads:20,4+:40,all")
    ] = None,
    logger: Annotated[
        str | None, typer.Option(help="tensorboard (default), wandb, mlflow, csv; several by comma")
    ] = None,
    devices: Annotated[int | None, typer.Option(min=1, metavar="N", help="GPUs on each machine")] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Machines; start each with torchrun")
    ] = None,
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
    given = dict(locals())
    import torch  # and all that needs it: --help does not

    import maskrt.training.data as data
    from maskrt.models.checkpoint import read_checkpoint
    from maskrt.training.config import QAT, from_file, preset_names
    from maskrt.training.config import preset as find_preset
    from maskrt.training.loop.largest_batch import automatic_batch
    from maskrt.training.run import say, train

    if preset not in preset_names():
        raise MaskrtError(f"--preset {preset}: expected one of {', '.join(preset_names())}.")
    if sum(map(bool, (start, backbone, qat))) > 1:
        raise MaskrtError("--from, --qat and --backbone each bring weights to start with. Give one of them.")
    model_config, config = find_preset(preset)
    names = [name.strip() for name in classes.split(",")] if classes else None
    checkpoint = read_checkpoint(qat) if qat else load_checkpoint(start, names) if start else None
    if checkpoint:
        model_config, config = checkpoint.config, QAT if qat else config
    if run_config:
        model_config, config = from_file(read_run(run_config), model_config, config, str(run_config))
    chosen: dict[str, Any] = {"epochs": epochs, "lr": lr, "seed": seed, "layers": layers, "logger": logger}
    chosen |= {"devices": devices, "nodes": nodes, "lr_images": None if lr is None else 0}
    chosen |= {"batch": None if batch in (None, AUTO) else int(batch)}
    config = dataclasses.replace(config, **{k: v for k, v in chosen.items() if v is not None})
    values = parse(assignments(settings or []), model_config, config)
    if of_data := sorted({"num_classes", "num_keypoints"} & values.keys()):
        raise MaskrtError(f"--set {of_data[0]}: that follows from the annotations of --data. Leave it out.")
    of_run = {f.name for f in dataclasses.fields(config)} & values.keys()
    config = dataclasses.replace(config, **{name: values[name] for name in of_run})
    model_config = dataclasses.replace(model_config, **{k: v for k, v in values.items() if k not in of_run})
    options: dict[str, Any] = {"format": format, "skip_bad": skip_bad}
    options |= {"class_name": class_name, "class_attribute": class_attribute}
    dataset = data.load_dataset(data_spec, images_dir=images, **options)
    validation = data.load_dataset(val, images_dir=val_images, **options) if val else None
    for each in filter(None, (dataset, validation)):
        dropped = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in each.dropped.items())
        left_out = f"; left out: {dropped}" if dropped else ""
        class_names = ", ".join(c.name for c in each.classes)
        say(f"{each.name}: {len(each)} images, classes {class_names}{left_out}")
    if batch == AUTO:
        config = dataclasses.replace(
            config, batch=automatic_batch(dataset, model_config, config, resume=resume)
        )
        say(f"--batch auto: {config.batch} images a step")
    is_own = run_config is not None and run_config.resolve() == (output / NAME).resolve()
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
        run_file=None if is_own else describe_run(given, model_config, config),
    )
    if done.metrics:
        kind = KINDS[done.contract().old_task][0]
        ap, ap50 = done.metrics[f"{kind}_ap"], done.metrics[f"{kind}_ap50"]
        say(f"after the last epoch: {kind} AP {ap:.3f}, AP50 {ap50:.3f}")
    say(f"checkpoints best.pt and last.pt, curves.png and predictions.png in {output}")


main = Program("maskrt train", command)

if __name__ == "__main__":
    main()
