"""`maskrt infer`: run a model over files, folders, globs, archives, videos and cameras.

Also `python -m maskrt.runtime.infer` and `python runtime/infer.py`.
"""

from __future__ import annotations

import sys

if not __package__:  # run as a script: sys.path starts with runtime/, where maskrt is not
    from pathlib import Path as _Path

    sys.path[0] = str(_Path(__file__).resolve().parents[1])

import json
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from maskrt.runtime.backends.open import open_session, read_contract
from maskrt.runtime.commands.cli import say, track
from maskrt.runtime.commands.options import Compute, MaxMegapixels, MinScore, ModelFile, between
from maskrt.runtime.commands.program import Program
from maskrt.runtime.errors import EXIT_PARTIAL, InterruptedRunError, MaskrtError
from maskrt.runtime.files.atomic import claimed_folder
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import TRACE
from maskrt.runtime.inputs.frames import Inferred, Source
from maskrt.runtime.inputs.open import open_inputs
from maskrt.runtime.inputs.video import is_video
from maskrt.runtime.outputs.open import Outcome, check_video, end_sinks
from maskrt.runtime.outputs.sinks import Sink
from maskrt.runtime.pipeline.cluster import RayOptions, RayPipeline
from maskrt.runtime.pipeline.run import Pipeline
from maskrt.runtime.pipeline.stopping import Signals, Stopped, ignore_signals, signals_raise
from maskrt.runtime.pipeline.stopwatch import Stopwatch
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.keep import DEFAULT_SCORE, Keep
from maskrt.runtime.tasks.style import Style, Wanted

LANES = 2  # of an engine: while one call waits for the GPU, the next is on its way there


@dataclass
class Tally:
    """What a run has come to."""

    images: int = 0
    detections: int = 0
    failed: dict[str, str] = field(default_factory=dict)  # the last reason by name: a camera fails often
    failures: int = 0


@dataclass(frozen=True)
class Kept:
    """Which of the model's detections are kept."""

    min_score: MinScore = DEFAULT_SCORE
    classes: Annotated[str | None, typer.Option(metavar="A,B", help="Keep these classes alone")] = None

    def keep(self) -> Keep:
        """As the pipeline takes it."""
        names = tuple(name.strip() for name in self.classes.split(",")) if self.classes else None
        return Keep(self.min_score, names)


@dataclass(frozen=True)
class Pictures:
    """What is drawn of each image, and how it looks."""

    overlays: Annotated[bool, typer.Option(show_default=False, help="Draw on each image or video")] = True
    color_by: Annotated[str, typer.Option(help="Overlays: class, instance or auto")] = "auto"
    labels: Annotated[bool, typer.Option(help="Overlays: class, score")] = True
    boxes: Annotated[bool | None, typer.Option("--boxes/--no-boxes", help="Overlays: boxes too")] = None
    alpha: Annotated[float, typer.Option(callback=between(0, 1), help="Overlays: opacity")] = Style.alpha
    splashes: Annotated[bool, typer.Option("--splash", help="Objects in colour on grey")] = False

    def wanted(self, *, masks: bool, contours: bool) -> Wanted:
        """As a task takes it. Raises OptionError for a style that there is not."""
        style = Style(self.color_by, self.labels, self.boxes, self.alpha)
        return Wanted(style, self.overlays, self.splashes, masks, contours)


@dataclass(frozen=True)
class Batching:
    """How many images a call takes."""

    batch: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Images a call, of one canvas size")
    ] = None
    batch_wait_ms: Annotated[float, typer.Option(callback=between(0), help="A camera's limit")] = 50.0


@dataclass(frozen=True)
class Cluster:
    """The machines of a run over Ray."""

    ray: Annotated[str | None, typer.Option(help="Ray cluster: local, auto, its address")] = None
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="With --ray; default: as many as fit")
    ] = None

    def __post_init__(self) -> None:
        if self.workers and not self.ray:
            raise MaskrtError("--workers: of a cluster, which --ray names. For this machine: --ray local")


def command(
    model: ModelFile,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Images, folders (searched deeply), globs, zips, buckets (s3://…), videos, a camera's "
            "number, URLs (rtsp://…, csi://0), a GStreamer pipeline, or - for names on stdin"
        ),
    ],
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder, or a video file"), Writes(None)
    ] = Path("out/infer"),
    kept: Kept,
    pictures: Pictures,
    masks: Annotated[bool, typer.Option("--masks", help="A PNG per mask")] = False,
    contours: Annotated[bool, typer.Option("--contours", help="Outlines, in contours.jsonl")] = False,
    batching: Batching,
    max_megapixels: MaxMegapixels = 100.0,
    compute: Compute,
    cluster: Cluster,
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
    wanted, keep = pictures.wanted(masks=masks, contours=contours), kept.keep()
    sources = open_inputs(inputs, max_pixels=int(max_megapixels * 1e6))
    video = output if is_video(str(output)) else None
    if video:
        check_video(video, sources, wanted.pictures)
    session = None if cluster.ray else open_session(model, **vars(compute), lanes=LANES)
    contract = read_contract(model) if session is None else session.contract
    task = task_of(contract)
    keep.check(contract.classes)
    task.check(contract, str(model), wanted)
    folder = output.with_suffix("") if video else output
    outcome = Outcome(folder, sources, wanted.pictures, video, task.files(wanted), task.record)
    outcome.check()
    with claimed_folder(folder), closing(Stopwatch(profile)) as stopwatch:
        pipeline: Pipeline | RayPipeline
        painters = task.painters(wanted)
        if session is not None:
            pipeline = Pipeline(session, **vars(batching), keep=keep, painters=painters, stopwatch=stopwatch)
        else:
            threads, device, backend = compute.threads or 1, compute.device, compute.backend
            machines = (str(cluster.ray), cluster.workers, threads, device, backend)
            options = RayOptions(*machines, batching.batch, keep, painters)
            pipeline = RayPipeline(model, options, stopwatch)
        sinks = outcome.open()
        tally = Tally()
        with signals_raise() as signals:
            _run(pipeline, sources, sinks, tally, output, signals)
    _summarise(tally, task.things, pipeline, output)
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


def _summarise(tally: Tally, things: str, pipeline: Pipeline | RayPipeline, output: Path) -> None:
    say(
        f"{tally.detections} {things} in {tally.images} images; results in {output}"
        + (f"; {tally.failures} skipped" if tally.failures else "")
        + (f"; {pipeline.dropped} frames dropped, that came too fast" if pipeline.dropped else "")
    )
    if tally.images:
        spent = ", ".join(f"{stage} {ms:.1f} ms" for stage, ms in pipeline.stopwatch.per_image_ms().items())
        say(f"per image: {spent}")


main = Program("maskrt infer", command)

if __name__ == "__main__":
    main()
