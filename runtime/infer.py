"""`maskrt infer`: run a model over files, folders, globs, archives, videos and cameras.

Also `python -m maskrt.runtime.infer` and `python runtime/infer.py`.
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
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from maskrt.runtime.backends.open import check_masks, open_session
from maskrt.runtime.cli import MaxMegapixels, MinScore, Threads, between, say, track
from maskrt.runtime.errors import EXIT_PARTIAL, InterruptedRunError, MaskrtError
from maskrt.runtime.files.atomic import claimed_folder
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import TRACE
from maskrt.runtime.inputs.frames import Inferred, Source
from maskrt.runtime.inputs.open import open_inputs
from maskrt.runtime.inputs.video import is_video
from maskrt.runtime.outputs.open import check_apart, check_folder, check_video, end_sinks, open_sinks
from maskrt.runtime.outputs.text import Sink
from maskrt.runtime.pipeline.cluster import RayOptions, RayPipeline
from maskrt.runtime.pipeline.run import Painter, Pipeline
from maskrt.runtime.pipeline.stopping import Signals, Stopped, ignore_signals, signals_raise
from maskrt.runtime.pipeline.stopwatch import Stopwatch
from maskrt.runtime.program import Program
from maskrt.runtime.tasks.instances.drawing.draw import Style
from maskrt.runtime.tasks.instances.drawing.overlay import Overlay, paint_splash
from maskrt.runtime.tasks.keep import DEFAULT_SCORE, Keep

LANES = 2  # of an engine: while one call waits for the GPU, the next is on its way there


@dataclass
class Tally:
    """What a run has come to."""

    images: int = 0
    detections: int = 0
    failed: dict[str, str] = field(default_factory=dict)  # the last reason by name: a camera fails often
    failures: int = 0


def command(
    model: Annotated[Path, typer.Argument(help="Model file: .onnx, .engine, or a checkpoint (.pt)")],
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Images, folders (searched deeply), globs, zips, buckets (s3://…), videos, a camera's "
            "number, URLs (rtsp://…, csi://0), a GStreamer pipeline, or - for names on stdin"
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder, or a video file"), Writes(None)
    ] = Path("out/infer"),
    min_score: MinScore = DEFAULT_SCORE,
    classes: Annotated[str | None, typer.Option(metavar="A,B", help="Keep these classes alone")] = None,
    overlays: Annotated[bool, typer.Option(show_default=False, help="Draw on each image or video")] = True,
    color_by: Annotated[str, typer.Option(help="Overlays: class, instance or auto")] = "auto",
    labels: Annotated[bool, typer.Option(help="Overlays: class, score")] = True,
    boxes: Annotated[bool | None, typer.Option("--boxes/--no-boxes", help="Overlays: boxes too")] = None,
    alpha: Annotated[float, typer.Option(callback=between(0, 1), help="Overlays: opacity")] = Style.alpha,
    splashes: Annotated[bool, typer.Option("--splash", help="Objects in colour on grey")] = False,
    masks: Annotated[bool, typer.Option("--masks", help="A PNG per mask")] = False,
    contours: Annotated[bool, typer.Option("--contours", help="Outlines, in contours.jsonl")] = False,
    batch: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Images a call, of one canvas size")
    ] = None,
    batch_wait_ms: Annotated[float, typer.Option(callback=between(0), help="A camera's limit")] = 50.0,
    max_megapixels: MaxMegapixels = 100.0,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    backend: Annotated[str, typer.Option(help="ONNX: onnxruntime, openvino, auto")] = "onnxruntime",
    threads: Threads = None,
    ray: Annotated[str | None, typer.Option(help="Ray cluster: local, auto, its address")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="With --ray; default: as many as fit")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="Write a trace for ui.perfetto.dev (.json)"), Writes(TRACE)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON on stdout")] = False,
) -> None:
    """Find the objects in images, videos and streams, with their masks where the model gives them.

    Writes predictions.json (COCO results), results.jsonl and overlays/ into OUTPUT; where
    that is a video, beside it. What cannot be used is reported and skipped; the exit code is then 3.

    Example: maskrt infer model.onnx photos/ -o out/photos --min-score 0.7
    """
    if workers and not ray:
        raise MaskrtError("--workers: of a cluster, which --ray names. For this machine: --ray local")
    style = Style(color_by, labels, boxes, alpha)
    sources = open_inputs(inputs, max_pixels=int(max_megapixels * 1e6))
    painters: dict[str, Painter] = {"overlays": Overlay(style)} if overlays else {}
    painters |= {"splash": paint_splash} if splashes else {}
    video = output if is_video(str(output)) else None
    if video:
        check_video(video, sources, [*painters])
    folder = output.with_suffix("") if video else output
    folders = [folder / kind for kind in (*painters, *(["masks"] if masks else []))]
    check_apart(sources, [*folders, *([video] if video else [])])
    keep = Keep(min_score, tuple(name.strip() for name in classes.split(",")) if classes else None)
    check_folder(folder, folders, video, contours=contours)
    needs_masks = masks or contours or splashes
    session = (
        None if ray else open_session(model, device=device, backend=backend, threads=threads, lanes=LANES)
    )
    if session is not None:
        keep.check(session.contract.classes)
        if needs_masks:
            check_masks(session.contract, str(model))
    with claimed_folder(folder), closing(Stopwatch(profile)) as stopwatch:
        pipeline: Pipeline | RayPipeline
        if session is None:
            options = RayOptions(
                str(ray), workers, threads or 1, device, backend, batch, keep, needs_masks, painters
            )
            pipeline = RayPipeline(model, options, stopwatch)
        else:
            pipeline = Pipeline(
                session,
                batch=batch,
                batch_wait_ms=batch_wait_ms,
                keep=keep,
                painters=painters,
                stopwatch=stopwatch,
            )
        sinks = open_sinks(folder, sources, [*painters], video=video, masks=masks, contours=contours)
        tally = Tally()
        with signals_raise() as signals:
            _run(pipeline, sources, sinks, tally, output, signals)
    _summarise(tally, pipeline, output)
    if as_json:
        summary = {"images": tally.images, "detections": tally.detections, "failed": tally.failed}
        print(json.dumps(summary | {"output": str(output)}))
    if tally.failures:
        raise typer.Exit(EXIT_PARTIAL)


def _run(
    pipeline: Pipeline | RayPipeline,
    sources: list[Source],
    sinks: list[Sink],
    tally: Tally,
    output: Path,
    signals: Signals,
) -> None:
    live = all(source.live for source in sources)
    lengths = [source.length for source in sources]
    known = None if None in lengths else sum(length or 0 for length in lengths)
    try:
        with closing(pipeline.run(sources)) as items:
            for item in track(items, "Inferring", total=known):
                if isinstance(item, Inferred):
                    with signals.held(), pipeline.stopwatch.measure("write"):  # in all files, or in none
                        for sink in sinks:
                            sink.add(item)
                        tally.images += 1
                        tally.detections += len(item.result)
                else:
                    tally.failed[item.name] = item.reason
                    tally.failures += 1
                    say(f"skipped {item.reason}")
        ignore_signals()
    except Stopped as stop:
        if not live:  # of a stream, to be stopped is the usual end
            end_sinks(sinks, whole=False)
            raise InterruptedRunError(
                f"stopped after {tally.images} images; what was found in them is in {output}", stop.exit_code
            ) from None
    except BaseException:
        end_sinks(sinks, whole=False)
        raise
    end_sinks(sinks, whole=True)


def _summarise(tally: Tally, pipeline: Pipeline | RayPipeline, output: Path) -> None:
    say(
        f"{tally.detections} objects in {tally.images} images; results in {output}"
        + (f"; {tally.failures} skipped" if tally.failures else "")
        + (f"; {pipeline.dropped} frames dropped, that came too fast" if pipeline.dropped else "")
    )
    if tally.images:
        spent = ", ".join(f"{stage} {ms:.1f} ms" for stage, ms in pipeline.stopwatch.per_image_ms().items())
        say(f"per image: {spent}")


main = Program("maskrt infer", command)

if __name__ == "__main__":
    main()
