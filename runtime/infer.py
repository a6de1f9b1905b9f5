"""`maskrt infer`: run a model over files, folders and globs.

Also `python -m runtime.infer` and `python runtime/infer.py`.
"""

from __future__ import annotations

import sys

if __package__ in (
    None,
    "",
):  # run as a script: sys.path starts with runtime/, whose names are not meant for it
    from pathlib import Path as _Path

    sys.path[0] = str(_Path(__file__).resolve().parents[1])

import json
from pathlib import Path
from typing import Annotated

import typer

from runtime.cli import run, say, track
from runtime.errors import EXIT_PARTIAL, ImageError
from runtime.predictor import Predictor
from runtime.session import open_session
from runtime.sinks import CocoSink, JsonLinesSink, OverlaySink, Sink, image_ids
from runtime.sources import find_images, read_image


def command(
    model: Annotated[Path, typer.Argument(help="Model file: .onnx, or a checkpoint (.pt)")],
    inputs: Annotated[list[str], typer.Argument(help="Image files, folders (searched deeply) and globs")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results")] = Path(
        "out/infer"
    ),
    min_score: Annotated[float, typer.Option(help="Keep detections above this score")] = 0.5,
    overlays: Annotated[bool, typer.Option(help="Draw an overlay per image")] = True,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON on stdout")] = False,
) -> None:
    """Find and mask the objects in images.

    Writes OUTPUT/overlays/*.png, OUTPUT/predictions.json (COCO results) and OUTPUT/results.jsonl.
    An image that cannot be used is reported and skipped; the exit code is then 3.

    Example: maskrt infer model.onnx photos/ -o out/photos --min-score 0.7
    """
    paths = find_images(inputs)
    predictor = Predictor(open_session(model, device=device))
    ids = image_ids(paths)
    lines = JsonLinesSink(output / "results.jsonl", ids)
    sinks: list[Sink] = [CocoSink(output / "predictions.json", ids), lines]
    if overlays:
        sinks.append(OverlaySink(output / "overlays", paths))
    failed: dict[str, str] = {}
    found = 0
    try:
        for path in track(paths, "Inferring"):
            try:
                image = read_image(path)
            except ImageError as error:
                failed[str(path)] = str(error)
                say(f"skipped {error}")
                continue
            result = predictor(image, min_score=min_score)[0]
            found += len(result)
            for sink in sinks:
                sink.add(path, image, result)
    except BaseException:
        lines.close()  # what is done stays; predictions.json is written whole or not at all
        raise
    for sink in sinks:
        sink.close()
    done = len(paths) - len(failed)
    say(
        f"{found} objects in {done} images; results in {output}"
        + (f"; {len(failed)} skipped" if failed else "")
    )
    if as_json:
        print(json.dumps({"images": done, "detections": found, "failed": failed, "output": str(output)}))
    if failed:
        raise typer.Exit(EXIT_PARTIAL)


def main(args: list[str] | None = None) -> None:
    """Run the command with `args` (default: those of the process)."""
    run(command, "maskrt infer", args)


if __name__ == "__main__":
    main()
