"""Options of `maskrt train`, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from maskrt.runtime.errors import MaskrtError

AUTO = "auto"


def _batch(text: str | None) -> str | None:
    """Check --batch. Raises typer.BadParameter."""
    if text not in (None, AUTO) and not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise typer.BadParameter(f"{text!r} is neither a number from 1 on nor {AUTO}.")
    return text


@dataclass(frozen=True)
class Chosen:
    """Settings that are chosen on the command line, in options of their own or by --set; None: not chosen."""

    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Passes over the data")] = None
    batch: Annotated[
        str | None,
        typer.Option(metavar="N", callback=_batch, help="Images a process takes at a time, or auto"),
    ] = None
    lr: Annotated[float | None, typer.Option(min=0, metavar="N", help="Peak learning rate")] = None
    seed: Annotated[int | None, typer.Option(help="Same seed, same run; default: 0")] = None
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE of the model or the run; repeatable")
    ] = None
    layers: Annotated[
        str | None, typer.Option(help="Those that learn, by epoch, e.g. heads:20,4+:40,all")
    ] = None
    logger: Annotated[
        str | None, typer.Option(help="tensorboard (default), wandb, mlflow, csv; several by comma")
    ] = None
    devices: Annotated[int | None, typer.Option(min=1, metavar="N", help="GPUs on each machine")] = None
    nodes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Machines; start each with torchrun")
    ] = None

    def of_the_run(self) -> dict[str, Any]:
        """Fields of TrainConfig that were chosen by an option of their own."""
        names = ("epochs", "lr", "seed", "layers", "logger", "devices", "nodes")
        values = {name: getattr(self, name) for name in names}
        values["lr_images"] = None if self.lr is None else 0  # the rate is for the batch as it is
        values["batch"] = None if self.batch in (None, AUTO) else int(str(self.batch))
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Start:
    """The weights that a run begins with. Raises MaskrtError where two options bring some."""

    backbone: Annotated[str | None, typer.Option(help="'imagenet' (downloads) or a classifier's .pth")] = None
    start: Annotated[
        Path | None, typer.Option("--from", help="Checkpoint to start from: ours, torchvision's, …")
    ] = None
    classes: Annotated[
        str | None, typer.Option(help="Names of the classes of --from, by comma, where it has none")
    ] = None
    qat: Annotated[
        Path | None, typer.Option(help="Fine-tune this checkpoint in eight bits, for maskrt calibrate")
    ] = None

    def __post_init__(self) -> None:
        if sum(map(bool, (self.start, self.backbone, self.qat))) > 1:
            raise MaskrtError(
                "--from, --qat and --backbone each bring weights to start with. Give one of them."
            )
