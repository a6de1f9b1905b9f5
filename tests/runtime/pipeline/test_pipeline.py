"""The pipeline keeps the order, forms batches by itself, and holds no more than its queues."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from maskrt.runtime.backends.open import Outputs, Session
from maskrt.runtime.inputs.frames import Frame, Inferred, Skipped, Source
from maskrt.runtime.pipeline.batching import MOST_WAITING, Batcher
from maskrt.runtime.pipeline.run import DEPTH, Pipeline
from maskrt.runtime.predictor import Predictor

SHAPES = ((48, 64), (64, 48), (48, 128), (48, 64), (48, 64))

FULL = 42  # of 60 frames, those that have a canvas of 64x96 px


class Camera:
    """Frames of changing shape, brightness and number in their name; `pace_s` apart."""

    still = False

    def __init__(self, count: int, *, live: bool = False, pace_s: float = 0.0) -> None:
        self.name, self.live, self._count, self._pace_s = "camera", live, count, pace_s
        self.given = 0

    def frames(self) -> Generator[Frame | Skipped, None, None]:
        for i in range(self._count):
            time.sleep(self._pace_s)
            self.given += 1
            if i % 7 == 6:
                yield Skipped(self.name, f"frame {i}")
            else:
                height, width = (48, 64) if self.live else SHAPES[i % len(SHAPES)]
                image = np.full((height, width, 3), 1 + i % 250, np.uint8)
                yield Frame(self.name, image, index=i, live=self.live)


class Counting(Session):
    """The tiny model; remembers batch sizes, and may be slow."""

    def __init__(self, inner: Session, delay_s: float = 0.0) -> None:
        self.contract, self.name, self._inner, self._delay_s = inner.contract, inner.name, inner, delay_s
        self.batches: list[tuple[int, ...]] = []

    def _run(self, images: np.ndarray, image_sizes: np.ndarray) -> Outputs:
        time.sleep(self._delay_s)
        self.batches.append(images.shape)
        return self._inner.infer(images, image_sizes)


class TwoAtATime(Session):
    """The tiny model with two lanes, each of whose calls waits for another."""

    lanes = 2

    def __init__(self, inner: Session) -> None:
        self.contract, self.name, self._inner = inner.contract, inner.name, inner
        self.meeting = threading.Barrier(2, timeout=20)

    def _run(self, images: np.ndarray, image_sizes: np.ndarray) -> Outputs:
        self.meeting.wait()
        return self._inner.infer(images, image_sizes)


class Patient(Camera):
    """A camera whose next frame comes when the one before has been answered."""

    def __init__(self) -> None:
        super().__init__(4, live=True)
        self.answered = threading.Semaphore()

    def frames(self) -> Generator[Frame | Skipped, None, None]:
        for frame in super().frames():
            assert self.answered.acquire(timeout=20), "the frame before was never answered"
            yield frame


def run(pipeline: Pipeline, *sources: Source) -> list[Inferred | Skipped]:
    with closing(pipeline.run(list(sources))) as items:
        return list(items)


@pytest.mark.parametrize("batch", [1, 2, 4, 50])
def test_order_is_kept_whatever_the_batches(batch: int, tiny_session: Session) -> None:
    session = Counting(tiny_session)
    items = run(Pipeline(session, batch=batch), Camera(60))

    got = [int(i.reason.split()[1]) if isinstance(i, Skipped) else i.frame.index for i in items]
    assert got == list(range(60))
    assert sum(shape[0] for shape in session.batches) == sum(isinstance(i, Inferred) for i in items) == 52
    assert max(shape[0] for shape in session.batches) == min(batch, FULL)


def test_as_many_calls_as_the_session_has_lanes_run_at_a_time_and_order_is_kept(
    tiny_session: Session,
) -> None:
    items = run(Pipeline(TwoAtATime(tiny_session)), Camera(7))  # six frames and one that is skipped

    assert [item.frame.index for item in items if isinstance(item, Inferred)] == list(range(6))


def test_a_frame_s_answer_does_not_wait_for_the_next_frame(tiny_session: Session) -> None:
    session, camera = Counting(tiny_session), Patient()
    session.lanes = 2
    with closing(Pipeline(session).run([camera])) as items:
        for _ in items:
            camera.answered.release()

    assert camera.given == 4


def test_a_batch_gives_what_single_images_give(tiny_session: Session) -> None:
    predictor = Predictor(tiny_session)
    for item in run(Pipeline(tiny_session, batch=4), Camera(30)):
        if isinstance(item, Inferred):
            (alone,) = predictor(item.frame.image)
            np.testing.assert_allclose(item.result.boxes, alone.boxes, rtol=1e-6)
            np.testing.assert_array_equal(item.result.masks, alone.masks)


def test_a_slow_model_lets_nothing_pile_up(tiny_session: Session) -> None:
    camera = Camera(500)
    with closing(Pipeline(Counting(tiny_session, 0.02)).run([camera])) as items:
        for _ in range(10):
            next(items)
        assert camera.given <= 10 + 5 * (DEPTH + 1) + MOST_WAITING


def test_who_does_not_take_results_stops_the_rest(tiny_session: Session) -> None:
    camera = Camera(500)
    with closing(Pipeline(tiny_session).run([camera])) as items:
        next(items)
        time.sleep(0.3)
        given = camera.given
        time.sleep(0.2)
        assert camera.given == given <= 1 + 5 * (DEPTH + 1) + MOST_WAITING


def test_a_live_frame_does_not_wait_for_its_batch(tiny_session: Session) -> None:
    session = Counting(tiny_session)
    start_s = time.monotonic()
    with closing(
        Pipeline(session, batch=8, batch_wait_ms=20).run([Camera(3, live=True, pace_s=0.2)])
    ) as items:
        next(items)
        first_s = time.monotonic() - start_s
    assert first_s < 0.4, "the second came after 0.4 s, and eight never did"
    assert session.batches[0][0] == 1


def test_live_frames_that_come_too_fast_are_dropped_and_counted(tiny_session: Session) -> None:
    camera = Camera(200, live=True, pace_s=0.002)
    pipeline = Pipeline(Counting(tiny_session, 0.03))
    items = run(pipeline, camera)

    seen = sum(isinstance(item, Inferred) for item in items)
    skipped = sum(isinstance(item, Skipped) for item in items)
    assert skipped == 200 // 7, "of what was lost before us nothing is dropped"
    assert pipeline.dropped > 0
    assert seen + skipped + pipeline.dropped == 200


def test_threads_end_with_the_pipeline(tiny_session: Session) -> None:
    before = threading.active_count()
    with closing(
        Pipeline(tiny_session, painters={"a": lambda frame, _: frame.image}).run([Camera(500)])
    ) as items:
        next(items)
        assert threading.active_count() > before
    assert threading.active_count() == before


def test_batcher_gives_the_bucket_that_waited_longest_when_too_many_wait() -> None:
    batcher: Batcher[Any] = Batcher(3)
    given = [batcher.add((1, i), i) for i in range(MOST_WAITING * 3)]

    assert given[:-1] == [None] * (MOST_WAITING * 3 - 1)
    assert given[-1] == [0]
    assert len(batcher) == MOST_WAITING * 3 - 1
    rest: list[Callable[[], Any] | Any] = []
    while group := batcher.oldest():
        rest += group
    assert rest == list(range(1, MOST_WAITING * 3))
