"""Opens and ends all sinks of a run together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.atomic import check_stream, check_writable
from maskrt.runtime.files.guard import overwrites
from maskrt.runtime.files.kinds import LINES, VIDEO
from maskrt.runtime.inputs.frames import Source
from maskrt.runtime.outputs.pictures import CODECS, PictureSink
from maskrt.runtime.outputs.sinks import Record, RecordSink, Sink
from maskrt.runtime.outputs.tree import Layout, image_ids
from maskrt.runtime.tasks.task import Files

RESULTS = "results.jsonl"


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


@dataclass(frozen=True)
class Outcome:
    """Files of a run into a folder: results.jsonl, pictures, and those of its task.

    pictures: their kinds. video: where the pictures of the first kind go, if all are of one video. record:
    what a line says of a result and its image id (`Task.record`).
    """

    folder: Path
    sources: list[Source]
    pictures: list[str]
    video: Path | None
    files: Files
    record: Record

    @property
    def folders(self) -> list[Path]:
        """Those that it makes."""
        return [self.folder / name for name in (*self.pictures, *self.files.folders)]

    def check(self) -> None:
        """Raise MaskrtError where the run would write over its inputs or somebody else's file, or cannot."""
        videos = [self.video] if self.video else []
        check_apart(self.sources, [*self.folders, *videos])
        for needed in (self.folder, *self.folders):
            if needed.exists() and not needed.is_dir():
                raise MaskrtError(f"{needed}: a file, where a folder is needed. Choose another output.")
        whole = [(self.folder / name, kind) for name, kind in self.files.whole.items()]
        check_writable(*whole, *((video, VIDEO) for video in videos))
        for name in (RESULTS, *self.files.growing):
            check_stream(self.folder / name, LINES)

    def open(self) -> list[Sink]:
        """Open all sinks."""
        names = [source.name for source in self.sources]
        layout, ids = Layout(names), image_ids(names)
        sinks: list[Sink] = []
        try:
            sinks.append(RecordSink(self.folder / RESULTS, ids, self.record))
            for kind in self.pictures:
                own = self.video if kind == self.pictures[0] else None
                sinks.append(PictureSink(kind, self.folder / kind, layout, video=own))
            self.files.open(self.folder, layout, ids, sinks)
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
