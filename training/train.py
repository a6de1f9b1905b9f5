"""`maskrt train`: from annotated images to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskrt.runtime.commands.options import LabelledPair
from maskrt.runtime.commands.program import Program
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.tasks import task_of
from maskrt.training.options import Chosen, Start
from maskrt.training.run_file import NAME, describe_run, read_run


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Take the options that a run's file gives for those that the command line does not."""
    if path is not None and not context.resilient_parsing:
        context.default_map = read_run(path).options
    return path


def command(
    data_spec: Annotated[str, typer.Option("--data", help="Annotations, or synthetic[:COUNT[:SEED]]")],
    *,
    val: Annotated[str | None, typer.Option(help="Validation data, in the same form")] = None,
    run_config: Annotated[
        Path | None,
        typer.Option("--config", is_eager=True, callback=_read_config, help="A run's file, as run.yaml"),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run"), Writes(None)] = Path(
        "out/train"
    ),
    preset: Annotated[
        str, typer.Option(help="Network and run to begin with, listed in docs/models.md")
    ] = "small",
    chosen: Chosen,
    start: Start,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last save")] = False,
    labelled: LabelledPair,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Drop malformed annotations")] = False,
) -> None:
    """Train a network on annotated images.

    Every setting: docs/training.md. Example: maskrt train --data data/train --val data/val -o out/mine
    """
    import torch  # and all that needs it: --help does not

    from maskrt.training import prepare
    from maskrt.training.run import say, train

    prepare.check_preset(preset)
    checkpoint = prepare.checkpoint_of(start)
    qat = start.qat is not None
    model_config, config = prepare.configurations(preset, checkpoint, run_config, chosen, qat=qat)
    dataset, validation = prepare.load_both(data_spec, val, labelled, skip_bad=skip_bad)
    config = prepare.with_batch(config, chosen, dataset, model_config, resume=resume)
    given = {"data_spec": data_spec, "val": val, "preset": preset, "skip_bad": skip_bad}
    given |= {**vars(start), **vars(labelled)}
    is_own = run_config is not None and run_config.resolve() == (output / NAME).resolve()
    done = train(
        dataset,
        validation,
        model_config,
        config,
        output,
        backbone_weights=start.backbone,
        start=checkpoint,
        qat=qat,
        resume=resume,
        provenance={
            "data": data_spec,
            "validation": val,
            "start": str(start.qat or start.start) if checkpoint else None,
            "torch": str(torch.__version__),
        },
        run_file=None if is_own else describe_run(given, model_config, config),
    )
    if done.metrics:
        contract = done.contract()
        say(f"after the last epoch: {task_of(contract).metric(contract).headline(done.metrics)}")
    say(f"checkpoints best.pt and last.pt, curves.png and predictions.png in {output}")


main = Program("maskrt train", command)

if __name__ == "__main__":
    main()
