"""maskrt: instance segmentation from a PyTorch checkpoint to NVIDIA hardware, and proof that it arrived.

The umbrella command. Each verb is a program of its own. This file imports a program when its verb is called
and hands the arguments over, so that `maskrt --help` needs neither torch nor a GPU.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import typer
import typer.core
import typer.main

from maskrt import __version__

VERBS = {
    "demo": ("maskrt.export.demo", "Train, export, infer and check on synthetic images: start here."),
    "inspect-data": (
        "maskrt.training.inspect_data",
        "Look through annotations: counts, pictures, common faults.",
    ),
    "train": ("maskrt.training.train", "Train a model on your images."),
    "export": ("maskrt.export.to_onnx", "Turn a checkpoint into an ONNX file that describes itself."),
    "calibrate": ("maskrt.calibration.calibrate", "Quantise a model to INT8, and bound what it loses."),
    "infer": (
        "maskrt.runtime.infer",
        "Run a model over images and videos: overlays, COCO results, JSON lines.",
    ),
    "evaluate": ("maskrt.runtime.evaluate", "Measure COCO box and mask AP of a model."),
    "parity": ("maskrt.runtime.parity.command", "Prove that a model file finds what its checkpoint finds."),
    "build": ("maskrt.export.build", "Turn an ONNX file into a TensorRT engine for this machine."),
    "build-plugins": ("maskrt.export.plugins.build", "Compile the TensorRT plugins for this machine."),
    "engine": ("maskrt.runtime.engine", "Look into an engine file, or take TensorRT's plan out of it."),
    "bench": ("maskrt.runtime.bench", "Compare the speed of models, interleaved in one run."),
    "serve-triton": ("maskrt.runtime.serve_triton", "Write a model repository for NVIDIA's Triton server."),
    "doctor": ("maskrt.runtime.doctor", "Say what this machine has, what can run, and what is missing."),
}


class Umbrella(typer.core.TyperGroup):
    """The verbs. Completion in a shell shows the options of the verb's own program."""

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """The command that hands over; during completion the program's own parser, if it can be imported."""
        if ctx.resilient_parsing and cmd_name in VERBS:
            with contextlib.suppress(ImportError):
                return importlib.import_module(VERBS[cmd_name][0]).main.parser()
        return super().get_command(ctx, cmd_name)


app = typer.Typer(
    cls=Umbrella, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__.split("\n")[0]
)


def _hand_over(verb: str, module: str, summary: str) -> None:
    @app.command(
        verb,
        help=summary,
        add_help_option=False,  # the program's own --help answers
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def _(context: typer.Context) -> None:
        _import(verb, module).main(context.args)


def _import(verb: str, module: str) -> Any:
    """Import a verb's program. Prints a sentence if even the core's packages are missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        from maskrt.runtime.packages import missing_for

        typer.echo(f"maskrt {verb}: {missing_for(error, verb)}", err=True)
        raise typer.Exit(2) from error


for _verb, (_module, _summary) in VERBS.items():
    _hand_over(_verb, _module, _summary)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of the `maskrt` program."""
    app(prog_name="maskrt")


if __name__ == "__main__":
    main()
