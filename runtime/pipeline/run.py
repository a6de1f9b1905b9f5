"""Runs decode, preprocess, infer, postprocess and draw in a thread each, connected by bounded queues.

The slowest step sets the pace and the others wait for it, so the work in flight is bounded by the depths of
the queues, whatever the sources hold. Results come in the order of the frames.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.session import Outputs, Session
from maskrt.runtime.errors import ModelError
from maskrt.runtime.inputs.frames import Frame, Inferred, Skipped, Source
from maskrt.runtime.pipeline.batching import Batcher
from maskrt.runtime.pipeline.prefetch import Prefetcher, PrefetchGroup
from maskrt.runtime.pipeline.stopwatch import Stopwatch
from maskrt.runtime.preprocess import Batch, canvas_size, preprocess
from maskrt.runtime.tasks import task_of
from maskrt.runtime.tasks.found import Found
from maskrt.runtime.tasks.keep import LIKELY, Keep
from maskrt.runtime.tasks.task import Painter

DEPTH = 2  # batches between two stages: one being made while one waits
DECODERS = min(4, os.cpu_count() or 1)  # threads; OpenCV decodes without holding Python's lock


@dataclass(frozen=True)
class _Numbered:
    """Frames with their positions in the order, or a Skipped with its own."""

    numbers: list[int]
    frames: list[Frame]
    skipped: Skipped | None = None
    batch: Batch | None = None
    outputs: Outputs | None = None


class Pipeline:
    """Runs a session over sources: `with closing(pipeline.run(sources)) as results: …`."""

    def __init__(
        self,
        session: Session,
        *,
        batch: int | None = None,
        batch_wait_ms: float = 50.0,
        keep: Keep = LIKELY,
        painters: dict[str, Painter] | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        """batch: images a call, for a model of any batch size (default 1).

        batch_wait_ms: the longest that a live stream's frame waits for its batch to fill. Raises ModelError
        where the model is fixed to another batch size.
        """
        self._session, self._contract = session, session.contract
        self._task = task_of(session.contract)
        self._size = batch_size(session, batch)
        self._wait_s, self._keep = batch_wait_ms / 1e3, keep
        self._painters = painters or {}
        self.stopwatch = stopwatch or Stopwatch()
        self.dropped = 0  # frames of live streams that came while all stages were busy

    def run(self, sources: list[Source]) -> Generator[Inferred | Skipped, None, None]:
        """Yields results frame by frame, in their order. Close it to stop early; its threads end with it."""
        live = all(source.live for source in sources)
        with closing(PrefetchGroup()) as threads:
            frames = threads.start(
                self._decode(sources, threads), DEPTH * self._size, "decode", _is_live if live else None
            )
            batches = threads.start(self._prepare(frames, live), DEPTH, "preprocess")
            answers = threads.start(self._infer(batches), max(DEPTH, self._session.lanes), "submit")
            results = threads.start(self._finish(answers), DEPTH * self._size, "postprocess")
            try:
                yield from threads.start(self._draw(results), DEPTH, "draw") if self._painters else results
            finally:
                self.dropped += frames.dropped

    def _decode(
        self, sources: list[Source], threads: PrefetchGroup
    ) -> Generator[Frame | Skipped, None, None]:
        for still, group in groupby(sources, key=lambda source: source.still):
            if not still:
                for source in group:
                    yield from self._decode_video(source)
                continue
            images = list(group)
            decoders = [
                threads.start(self._decode_stills(images[i::DECODERS]), self._size, "decode")
                for i in range(min(DECODERS, len(images)))
            ]
            for turn in range(len(images)):
                item = next(decoders[turn % len(decoders)], None)
                if item is None:
                    return  # stopped
                yield item

    def _decode_stills(self, images: list[Source]) -> Generator[Frame | Skipped, None, None]:
        for image in images:
            with self.stopwatch.measure("decode"):
                frame = next(image.frames())
            yield frame

    def _decode_video(self, source: Source) -> Generator[Frame | Skipped, None, None]:
        with closing(source.frames()) as frames:
            while True:
                with self.stopwatch.measure("decode"):
                    frame = next(frames, None)
                if frame is None:
                    return
                yield frame

    def _prepare(self, frames: Prefetcher[Frame | Skipped], live: bool) -> Generator[_Numbered, None, None]:
        batcher: Batcher[tuple[int, Frame]] = Batcher(self._size)
        number = 0
        while True:
            try:
                item = frames.next_within(self._wait_s if live and len(batcher) else None)
            except StopIteration:
                break
            if isinstance(item, Skipped):
                yield _Numbered([number], [], skipped=item)
                number += 1
                continue
            if item is None:
                group = batcher.oldest()
            else:
                height, width = item.image.shape[:2]
                group = batcher.add(canvas_size(height, width, self._contract.canvas), (number, item))
                number += 1
            if group:
                yield self._lay(group)
        while group := batcher.oldest():
            yield self._lay(group)

    def _lay(self, group: list[tuple[int, Frame]]) -> _Numbered:
        images = [frame.image for _, frame in group]
        with self.stopwatch.measure("preprocess", len(group)):
            images = filled(images, self._contract.batch)
            batch = preprocess(images, self._contract.canvas, empty=self._session.empty_canvas)
        return _Numbered([number for number, _ in group], [frame for _, frame in group], batch=batch)

    def _infer(self, batches: Prefetcher[_Numbered]) -> Generator[Future[_Numbered], None, None]:
        """Yields a future for each batch, in order; as many calls run at a time as the session has lanes."""
        calls = ThreadPoolExecutor(self._session.lanes, initializer=_be_called_infer)
        try:
            for work in batches:
                yield calls.submit(self._call, work)
        except GeneratorExit:  # stopped: nobody waits for what has not begun
            calls.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            calls.shutdown()

    def _call(self, work: _Numbered) -> _Numbered:
        if work.batch is None:
            return work
        with self.stopwatch.measure("infer", len(work.frames)):
            outputs = self._session.infer(work.batch.images, work.batch.image_sizes)
        return replace(work, outputs=outputs)

    def _finish(self, answers: Prefetcher[Future[_Numbered]]) -> Generator[Inferred | Skipped, None, None]:
        """Yields results in the frames' order; the batcher bounds how many wait for an earlier one."""
        ready: dict[int, Inferred | Skipped] = {}
        due = 0
        for answer in answers:
            work = answer.result()
            if work.skipped is not None:
                ready[work.numbers[0]] = work.skipped
            else:
                found = zip(work.numbers, work.frames, self._results(work), strict=True)
                ready |= {number: Inferred(frame, result, {}) for number, frame, result in found}
            while due in ready:
                yield ready.pop(due)
                due += 1

    def _results(self, work: _Numbered) -> Sequence[Found]:
        assert work.batch is not None
        assert work.outputs is not None
        with self.stopwatch.measure("postprocess", len(work.frames)):
            results = self._task.decode(work.outputs, work.batch, self._contract, keep=self._keep)
        return results[: len(work.frames)]

    def _draw(self, results: Prefetcher[Inferred | Skipped]) -> Generator[Inferred | Skipped, None, None]:
        for item in results:
            if isinstance(item, Inferred):
                with self.stopwatch.measure("draw"):
                    pictures = {
                        kind: paint(item.frame, item.result) for kind, paint in self._painters.items()
                    }
                item = replace(item, pictures=pictures)
            yield item


def batch_size(session: Session, wanted: int | None) -> int:
    """Number of images a call. Raises ModelError where the model is fixed to another number."""
    fixed = session.contract.batch
    if fixed is not None and wanted not in (None, fixed):
        raise ModelError(
            f"{session.name}: fixed to {fixed} images a call, not {wanted}. "
            f"For any number: maskrt export CHECKPOINT --dynamic -o {session.name}"
        )
    return fixed or wanted or 1


def filled(images: list[NDArray[np.uint8]], batch: int | None) -> list[NDArray[np.uint8]]:
    """Fill images up to the model's fixed batch size, by repeating the first."""
    return images + [images[0]] * ((batch or len(images)) - len(images))


def _be_called_infer() -> None:
    """Name the pool's thread after its step, as a trace shows it; the pool would number it."""
    threading.current_thread().name = "infer"


def _is_live(item: Frame | Skipped) -> bool:
    return isinstance(item, Frame) and item.live
