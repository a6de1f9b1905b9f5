"""A video through the pipeline: the results of single images, and sooner than one stage after the other."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from export.to_onnx import export_onnx, save_onnx
from export.weights import load_checkpoint
from runtime.draw import draw
from runtime.frames import Frame, Inferred
from runtime.infer import main
from runtime.layout import Layout
from runtime.picture_sinks import PictureSink
from runtime.predictor import Predictor, load
from runtime.sinks import CocoSink, JsonLinesSink, Sink
from runtime.sources import read_image
from runtime.video import VideoFile

pytestmark = pytest.mark.full

FRAMES, FPS, ROUNDS = 60, 25.0, 3
HEIGHT_PX, WIDTH_PX = 1080, 1920
MIN_SCORE = 0.5
NEVER_SLOWER = 0.97  # of the time of the stages one after the other; the rest is the machine's own spread


@pytest.fixture(scope="module")
def model(droplets_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "droplets.onnx"
    checkpoint = load_checkpoint(droplets_checkpoint)
    save_onnx(export_onnx(checkpoint, checkpoint.contract(detections="dynamic")), path)
    return path


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


def one_after_the_other(predictor: Predictor, video: Path, out: Path) -> list[int]:
    """Everything that `maskrt infer` does, without its pipeline. Number of detections by frame."""
    name, layout = str(video), Layout([str(video)])
    sinks: list[Sink] = [
        CocoSink(out / "predictions.json", {name: "droplets"}),
        JsonLinesSink(out / "results.jsonl", {name: "droplets"}),
        PictureSink("overlays", out / "overlays", layout),
    ]
    counts = []
    for frame in VideoFile(name).frames():
        assert isinstance(frame, Frame)
        (result,) = predictor(frame.image, min_score=MIN_SCORE)
        for sink in sinks:
            sink.add(Inferred(frame, result, {"overlays": draw(frame.image, result)}))
        counts.append(len(result))
    for sink in sinks:
        sink.close()
    return counts


def infer(*arguments: object) -> None:
    with pytest.raises(SystemExit) as finished:
        main([str(argument) for argument in arguments])
    assert not finished.value.code


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_frames_give_what_single_images_give(model: Path, video: Path, tmp_path: Path) -> None:
    infer(model, video, "-o", tmp_path / "out.mp4", "--min-score", MIN_SCORE, "--json")

    one_after_the_other(load(model), video, tmp_path / "single")
    piped, single = lines(tmp_path / "out"), lines(tmp_path / "single")
    assert len(piped) == FRAMES
    assert sum(len(line["detections"]) for line in piped) > FRAMES
    assert piped == single
    written = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert written.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    assert written.get(cv2.CAP_PROP_FPS) == FPS


@pytest.mark.parametrize(
    ("threads", "at_least"), [(1, 1.25), (2, NEVER_SLOWER)], ids=["inference on one core", "on both"]
)
def test_the_pipeline_is_quicker(
    threads: int, at_least: float, model: Path, video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Loading included on both sides."""
    ratios = []
    for _ in range(ROUNDS):
        start_s = time.perf_counter()
        one_after_the_other(load(model, threads=threads), video, tmp_path / "single")
        middle_s = time.perf_counter()
        infer(model, video, "-o", tmp_path / "out", "--min-score", MIN_SCORE, "--threads", threads)
        ratios.append((middle_s - start_s) / (time.perf_counter() - middle_s))
    breakdown = [line for line in capfd.readouterr().err.splitlines() if line.startswith("per image")]
    print(f"{threads} threads: {np.median(ratios):.2f} times as fast; {breakdown[-1]}")

    assert np.median(ratios) >= at_least
