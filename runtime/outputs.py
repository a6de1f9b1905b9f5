"""What a run writes: all of its sinks, opened together and ended together."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import MaskrtError
from runtime.frames import Source
from runtime.layout import Layout, image_ids
from runtime.picture_sinks import CODECS, MaskSink, PictureSink
from runtime.sinks import CocoSink, ContourSink, JsonLinesSink, Sink


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


def check_apart(sources: list[Source], outputs: list[Path]) -> None:
    """Raise MaskrtError where an input is an output or lies in one, and may be written over."""
    places = [output.resolve() for output in outputs]
    for source in sources:
        path = Path(source.name).resolve()
        for place in places:
            if place == path or place in path.parents:
                raise MaskrtError(
                    f"{source.name}: an input that lies where this run writes ({place}). "
                    "Choose another output."
                )


def open_sinks(
    folder: Path, sources: list[Source], kinds: list[str], *, video: Path | None, masks: bool, contours: bool
) -> list[Sink]:
    """What a run writes, all into `folder` but for the `video`, of the first kind. kinds: of pictures."""
    names = [source.name for source in sources]
    layout, ids = Layout(names), image_ids(names)
    sinks: list[Sink] = []
    try:
        sinks.append(CocoSink(folder / "predictions.json", ids))
        sinks.append(JsonLinesSink(folder / "results.jsonl", ids))
        for kind in kinds:
            own = video if kind == kinds[0] else None
            sinks.append(PictureSink(kind, folder / kind, layout, video=own))
        if masks:
            sinks.append(MaskSink(folder / "masks", layout))
        if contours:
            sinks.append(ContourSink(folder / "contours.jsonl"))
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
