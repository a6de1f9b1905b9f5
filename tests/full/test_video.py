"""A video through the pipeline: the results of single images, and sooner than one stage after the other."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.runtime.backends.open import Session, open_session
from maskrt.runtime.backends.open_onnx import installed
from maskrt.runtime.infer import main
from maskrt.runtime.inputs.frames import Frame, Inferred
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.inputs.video import VideoFile
from maskrt.runtime.pipeline.run import Painter, Pipeline
from maskrt.runtime.predictor import Predictor
from maskrt.runtime.tasks.instances.drawing.overlay import Overlay, paint_splash
from maskrt.runtime.tasks.keep import Keep
from maskrt.runtime.tasks.style import Style
from tests.runtime.sinks import open_sinks

pytestmark = pytest.mark.full

Kinds = dict[str, Painter]
FRAMES, FPS, ROUNDS = 60, 25.0, 3
HEIGHT_PX, WIDTH_PX = 1080, 1920
MIN_SCORE = 0.5
OVERLAP = 0.9  # of the pipeline's time, the part in which its slowest stage is at work
GAIN = 1.25  # what is asked of it with inference held to one core; by processor time 1.38 is to be had there
OVERLAYS: Kinds = {"overlays": Overlay(Style())}
NEVER_SLOWER = 0.97  # of the time of the stages one after the other; the rest is the machine's own spread


@pytest.fixture(scope="module")
def video(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The consecutive frames of two recordings, the smaller laid on a frame of the larger's size, there and
    back until there are sixty."""
    names = list((data_dir / "droplets").rglob("video[56]image*.jpg"))
    names.sort(key=lambda p: [int(n) for n in re.findall(r"\d+", p.name)])
    order = [*names, *reversed(names)]
    path = tmp_path_factory.mktemp("frames") / "droplets.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH_PX, HEIGHT_PX))
    for i in range(FRAMES):
        image = read_image(order[i % len(order)])
        frame = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
        frame[: image.shape[0], : image.shape[1]] = image[:, :, ::-1]
        writer.write(frame)
    writer.release()
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    return path


def one_after_the_other(
    session: Session, video: Path, out: Path, kinds: Kinds = OVERLAYS, *, contours: bool = False
) -> None:
    """Everything that `maskrt infer` does, without its pipeline."""
    predictor, source = Predictor(session), VideoFile(str(video))
    sinks = open_sinks(out, [source], [*kinds], video=None, masks=False, contours=contours)
    for frame in source.frames():
        assert isinstance(frame, Frame)
        (result,) = predictor(frame.image, min_score=MIN_SCORE)
        pictures = {kind: paint(frame, result) for kind, paint in kinds.items()}
        for sink in sinks:
            sink.add(Inferred(frame, result, pictures))
    for sink in sinks:
        sink.close()


def overlapping(
    session: Session, video: Path, out: Path, kinds: Kinds = OVERLAYS, *, contours: bool = False
) -> dict[str, float]:
    """The same through the pipeline. Milliseconds a frame by stage."""
    source = VideoFile(str(video))
    sinks = open_sinks(out, [source], [*kinds], video=None, masks=False, contours=contours)
    pipeline = Pipeline(session, keep=Keep(MIN_SCORE), painters=kinds)
    with closing(pipeline.run([source])) as items:
        for item in items:
            assert isinstance(item, Inferred)
            with pipeline.stopwatch.measure("write"):
                for sink in sinks:
                    sink.add(item)
    for sink in sinks:
        sink.close()
    return pipeline.stopwatch.per_image_ms()


def infer(*arguments: object) -> None:
    with pytest.raises(SystemExit) as finished:
        main([str(argument) for argument in arguments])
    assert not finished.value.code


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_frames_give_what_single_images_give(droplets_onnx: Path, video: Path, tmp_path: Path) -> None:
    infer(droplets_onnx, video, "-o", tmp_path / "out.mp4", "--min-score", MIN_SCORE, "--json")

    one_after_the_other(open_session(droplets_onnx), video, tmp_path / "single")
    piped, single = lines(tmp_path / "out"), lines(tmp_path / "single")
    assert len(piped) == FRAMES
    assert sum(len(line["detections"]) for line in piped) > FRAMES
    assert piped == single
    written = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert written.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    assert written.get(cv2.CAP_PROP_FPS) == FPS


def measured(
    session: Session, video: Path, tmp_path: Path, kinds: Kinds = OVERLAYS, *, contours: bool = False
) -> tuple[float, float]:
    """Medians of the rounds: how many times as fast the pipeline is, and the part of its time in which its slowest
    stage is at work."""
    ratios, shares = [], []
    for _ in range(ROUNDS):
        start_s = time.perf_counter()
        one_after_the_other(session, video, tmp_path / "single", kinds, contours=contours)
        middle_s = time.perf_counter()
        spent_ms = overlapping(session, video, tmp_path / "piped", kinds, contours=contours)
        end_s = time.perf_counter()
        ratios.append((middle_s - start_s) / (end_s - middle_s))
        shares.append(max(spent_ms.values()) * FRAMES / 1e3 / (end_s - middle_s))
    breakdown = ", ".join(f"{stage} {ms:.1f} ms" for stage, ms in spent_ms.items())
    print(f"{session.name}: {np.median(ratios):.2f} times as fast as in turn; {breakdown}")
    return float(np.median(ratios)), float(np.median(shares))


@pytest.mark.parametrize("backend", installed())
@pytest.mark.parametrize(
    ("model", "threads"), [("droplets_onnx", 1), ("droplets_onnx", 2), ("droplets_int8", 1)]
)
def test_the_pipeline_takes_as_long_as_its_slowest_stage(
    model: str, threads: int, backend: str, video: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With inference held to one of two cores, and never longer than one stage after the other. Needs two cores
    with nothing else to do."""
    session = open_session(request.getfixturevalue(model), backend=backend, threads=threads)

    ratio, share = measured(session, video, tmp_path)

    assert ratio >= NEVER_SLOWER
    if threads == 1:
        assert share >= OVERLAP


def test_overlap_gains_a_quarter_where_there_is_as_much_beside_inference(
    droplets_int8: Path, video: Path, tmp_path: Path
) -> None:
    """The fastest inference, one core; overlays, splashes and contours. Needs two cores with nothing else to do."""
    pytest.importorskip("openvino")
    session = open_session(droplets_int8, backend="openvino", threads=1)

    kinds = {"overlays": Overlay(Style()), "splash": paint_splash}
    ratio, _ = measured(session, video, tmp_path, kinds, contours=True)

    assert ratio >= GAIN
