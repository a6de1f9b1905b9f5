"""Table 2c of Mask R-CNN on your own data: five ways of RoI feature extraction, trained alike.

python examples/roi_ablation/ablate.py --data droplets/train --val droplets/val -o out/roi_ablation

Leaves a run of `maskrt train` in a folder each, and ablation.md and ablation.png beside them. What is
finished is not trained again: an interrupted command goes on, and runs made elsewhere become a table.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from maskrt.runtime.commands.cli import say
from maskrt.runtime.commands.program import Program
from maskrt.runtime.errors import DataError, MaskrtError
from maskrt.runtime.files.atomic import atomic_path, write_text
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import OWN_NAME, PLOT


class Accuracy(NamedTuple):
    """COCO mask AP of one model, in percent."""

    ap: float
    ap50: float
    ap75: float


#: arXiv:1703.06870, table 2c: ResNet-50-C4 at stride 16 on COCO, trainval35k (115,000 images, 80 classes).
PAPER = {
    "pool_max": ("RoIPool", Accuracy(26.9, 48.8, 26.4)),
    "warp_max": ("RoIWarp, max", Accuracy(27.2, 49.2, 27.1)),
    "warp_avg": ("RoIWarp, average", Accuracy(27.1, 48.9, 27.1)),
    "align_max": ("RoIAlign, max", Accuracy(30.2, 51.0, 31.8)),
    "align_avg": ("RoIAlign, average", Accuracy(30.3, 51.2, 31.5)),
}


def train(roi_pool: str, output: Path, arguments: list[str]) -> None:
    """One run of `maskrt train`, shown as it goes. Raises MaskrtError where it fails."""
    command = [sys.executable, "-m", "maskrt.training.train", *arguments, "-o", str(output)]
    resume = ["--resume"] if (output / "last.ckpt").exists() else []
    done = subprocess.run([*command, "--set", f"roi_pool={roi_pool}", *resume])
    if done.returncode:
        raise MaskrtError(f"training with roi_pool={roi_pool} failed; what it said stands above.")


def read(metrics: Path) -> Accuracy:
    """The accuracy that a run was left with. Raises DataError where it was not validated on masks."""
    values = json.loads(metrics.read_text())
    try:
        return Accuracy(*(100 * values[name] for name in ("mask_ap", "mask_ap50", "mask_ap75")))
    except KeyError as error:
        raise DataError(f"{metrics}: no {error} in it. Train with --val and masks.") from error


def table(found: dict[str, Accuracy]) -> str:
    """Markdown: a row a way, what was found beside what the paper found."""
    rows = ["| | AP | AP50 | AP75 | paper: AP | AP50 | AP75 |", "|---|---|---|---|---|---|---|"]
    for roi_pool, (name, theirs) in PAPER.items():
        numbers = " | ".join(f"{value:.1f}" for value in (*found[roi_pool], *theirs))
        rows.append(f"| {name} (`{roi_pool}`) | {numbers} |")
    return "\n".join(rows) + "\n"


def plot(found: dict[str, Accuracy], path: Path) -> None:
    """AP and AP75 by way, here and in the paper, as a PNG; every axis begins at zero."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    theirs = {roi_pool: accuracy for roi_pool, (_, accuracy) in PAPER.items()}
    names = [name for name, _ in PAPER.values()]
    for axes, title, values in zip(
        figure.subplots(1, 2, sharey=True), ("here", "paper, table 2c"), (found, theirs), strict=True
    ):
        for offset, field in ((-0.2, "ap"), (0.2, "ap75")):
            heights = [getattr(values[roi_pool], field) for roi_pool in PAPER]
            bars = axes.barh([y + offset for y in range(len(names))], heights, 0.38, label=field.upper())
            axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=2)
        axes.set(title=title, xlabel="mask AP, %", xlim=(0, 1.15 * max(v.ap75 for v in values.values())))
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    figure.legend(*axes.get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=2)
    with atomic_path(path, PLOT) as temporary:
        figure.savefig(temporary, dpi=110)


def command(
    data: Annotated[str, typer.Option(help="Training data, as of maskrt train")],
    val: Annotated[str, typer.Option(help="Validation data, in the same form")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the runs"), Writes(None)],
    preset: Annotated[str, typer.Option(help="As of maskrt train; c4 is the paper's model here")] = "small",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data")] = 8,
    seed: Annotated[int, typer.Option(help="Of all five runs")] = 0,
    class_name: Annotated[str, typer.Option(help="Name of the one class of a VIA file")] = "object",
    backbone: Annotated[str | None, typer.Option(help="As of maskrt train")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="As of maskrt train")] = None,
) -> None:
    """Train the five ways alike, and write a table and a plot beside the paper's figures."""
    arguments = ["--data", data, "--val", val, "--epochs", str(epochs), "--seed", str(seed)]
    arguments += ["--class-name", class_name, "--preset", preset]
    arguments += ["--backbone", backbone] if backbone else []
    arguments += [part for setting in settings or [] for part in ("--set", setting)]
    found = {}
    for roi_pool in PAPER:
        metrics = output / roi_pool / "metrics.json"
        if not metrics.is_file():
            say(f"{roi_pool}: training")
            train(roi_pool, output / roi_pool, arguments)
        found[roi_pool] = read(metrics)
    write_text(output / "ablation.md", table(found), OWN_NAME)
    plot(found, output / "ablation.png")
    say(f"{table(found)}ablation.md and ablation.png in {output}")


if __name__ == "__main__":
    Program("ablate.py", command)()
