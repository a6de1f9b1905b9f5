"""What a run writes: all of its sinks, opened together and ended together."""

from __future__ import annotations

from pathlib import Path

from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.atomic import check_stream, check_writable
from maskrt.runtime.files.guard import overwrites
from maskrt.runtime.files.kinds import COCO_RESULTS, LINES, VIDEO
from maskrt.runtime.inputs.frames import Source
from maskrt.runtime.outputs.pictures import CODECS, MaskSink, PictureSink
from maskrt.runtime.outputs.text import CocoSink, ContourSink, JsonLinesSink, Sink
from maskrt.runtime.outputs.tree import Layout, image_ids

PREDICTIONS, RESULTS, CONTOURS = "predictions.json", "results.jsonl", "contours.jsonl"


def check_video(video: Path, sources: list[Source], kinds: list[str]) -> None:
    """Raise MaskrtError where an output that is named as a video cannot become one. kinds: of pictures."""
    if len(sources) != 1 or sources[0].still:
        raise MaskrtError(
            f"{video}: takes one video or camera, not {len(sources)} inputs. Name a folder: -o out"
        )
    if not kinds:
        raise MaskrtError(
            f"{video}: with --no-overlays and without --splash it has nothing to show. Name a folder: -o out"
        )
    if video.suffix.lower() not in CODECS:
        raise MaskrtError(
            f"{video}: videos are written as {', '.join(CODECS)}. Name it {video.with_suffix('.mp4')}"
        )


def check_folder(folder: Path, below: list[Path], video: Path | None, *, contours: bool) -> None:
    """Raise MaskrtError where a run into the folder would write over somebody else's file, or cannot.

    below: the folders that it makes there.
    """
    for needed in (folder, *below):
        if needed.exists() and not needed.is_dir():
            raise MaskrtError(f"{needed}: a file, where a folder is needed. Choose another output.")
    check_writable((folder / PREDICTIONS, COCO_RESULTS), *([(video, VIDEO)] if video else []))
    for name in (RESULTS, *([CONTOURS] if contours else [])):
        check_stream(folder / name, LINES)


def check_apart(sources: list[Source], outputs: list[Path]) -> None:
    """Raise MaskrtError where an input is an output or lies in one, and may be written over unasked."""
    if overwrites():
        return
    places = [output.resolve() for output in outputs]
    for source in sources:
        path = Path(source.name).resolve()
        for place in places:
            if place == path or place in path.parents:
                raise MaskrtError(
                    f"{source.name}: an input that lies where this run writes ({place}). "
                    "Choose another output, or have it replaced: --overwrite"
                )


def open_sinks(
    folder: Path, sources: list[Source], kinds: list[str], *, video: Path | None, masks: bool, contours: bool
) -> list[Sink]:
    """What a run writes, all into `folder` but for the `video`, of the first kind. kinds: of pictures."""
    names = [source.name for source in sources]
    layout, ids = Layout(names), image_ids(names)
    sinks: list[Sink] = []
    try:
        sinks.append(CocoSink(folder / PREDICTIONS, ids))
        sinks.append(JsonLinesSink(folder / RESULTS, ids))
        for kind in kinds:
            own = video if kind == kinds[0] else None
            sinks.append(PictureSink(kind, folder / kind, layout, video=own))
        if masks:
            sinks.append(MaskSink(folder / "masks", layout))
        if contours:
            sinks.append(ContourSink(folder / CONTOURS))
    except BaseException:
        end_sinks(sinks, whole=False)
        raise
    return sinks


def end_sinks(sinks: list[Sink], *, whole: bool) -> None:
    """Close every sink, whatever happens to the others."""
    if sinks:
        try:
            sinks[0].close() if whole else sinks[0].stop()
        finally:
            end_sinks(sinks[1:], whole=whole)
