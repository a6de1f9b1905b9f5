"""`maskrt infer` on videos: what is written, and what becomes of broken ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.runtime.infer import main
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.inputs.open import open_inputs
from maskrt.runtime.outputs.pictures import VideoWriter
from tests.runtime.videos import FPS, moving, read_video, write_video

Run = Callable[..., Any]


@pytest.fixture
def video(picture: np.ndarray, tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.avi", moving(picture, 10))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_video_becomes_a_video(command: Run, tiny_onnx: Path, video: Path, tmp_path: Path) -> None:
    ended = command(main, tiny_onnx, video, "-o", tmp_path / "out.mp4", "--json")

    assert ended.code == 0
    assert json.loads(ended.out) == {
        "images": 10,
        "detections": 18,
        "failed": {},
        "output": str(tmp_path / "out.mp4"),
    }
    (before, _), (after, fps) = read_video(video), read_video(tmp_path / "out.mp4")
    assert [f.shape for f in after] == [f.shape for f in before]
    assert fps == pytest.approx(FPS)
    drawn = [np.abs(a.astype(int) - b).mean() for a, b in zip(after, before, strict=True)]
    assert min(drawn[:3] + drawn[4:]) > 2 * drawn[3], "overlays are drawn, but on the black frame"


def test_its_frames_have_numbers_and_times(
    command: Run, tiny_onnx: Path, video: Path, tmp_path: Path
) -> None:
    command(main, tiny_onnx, video, "-o", tmp_path / "out.mp4")

    got = lines(tmp_path / "out")
    assert [line["frame"] for line in got] == list(range(10))
    assert [line["time_ms"] for line in got] == pytest.approx([1e3 * i / FPS for i in range(10)], abs=0.01)
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [row["image_id"] for row in rows[:3]] == ["clip#0", "clip#0", "clip#1"]


def test_frames_give_what_images_give(
    command: Run, tiny_onnx: Path, picture: np.ndarray, video: Path, tmp_path: Path
) -> None:
    frames, _ = read_video(video)
    (tmp_path / "frames").mkdir()
    for i, frame in enumerate(frames):
        assert cv2.imwrite(str(tmp_path / "frames" / f"{i:02d}.png"), frame[:, :, ::-1])
    command(main, tiny_onnx, video, "-o", tmp_path / "one")
    command(main, tiny_onnx, tmp_path / "frames", "-o", tmp_path / "two", "--batch", 4)

    per_frame, per_image = (
        [[{**d, "image_id": 0} for d in line["detections"]] for line in lines(tmp_path / name)]
        for name in ("one", "two")
    )
    assert per_frame == per_image
    assert len(per_frame) == 10


def test_a_folder_of_outputs_of_every_kind(
    command: Run, tiny_onnx: Path, video: Path, picture_file: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = [video, picture_file, "-o", out, "--splash", "--masks", "--contours"]
    assert command(main, tiny_onnx, *arguments).code == 0

    for kind in ("overlays", "splash"):
        assert {p.name for p in (out / kind).iterdir()} == {"clip.mp4", "picture.png"}
        assert len(read_video(out / kind / "clip.mp4")[0]) == 10
    assert len(list((out / "masks" / "clip" / "000009").iterdir())) == 2
    assert not (out / "masks" / "clip" / "000003").exists(), "nothing was found there"
    mask = cv2.imread(str(out / "masks" / "picture" / "000.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == picture.shape[:2]
    assert set(np.unique(mask)) == {0, 255}
    coloured = read_image(out / "splash" / "picture.png")
    np.testing.assert_array_equal(coloured[mask > 0], picture[mask > 0])
    outside = coloured[:, :6][:20]  # no object reaches here
    assert (outside.max(axis=2) == outside.min(axis=2)).all()
    (*_, still) = [json.loads(line) for line in (out / "contours.jsonl").read_text().splitlines()]
    assert [o["name"] for o in still["objects"]] == ["toothbrush", "cat"]
    outline = np.array(still["objects"][0]["polygons"][0]).reshape(-1, 1, 2)
    filled = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(filled, [outline], 255)
    np.testing.assert_array_equal(filled, mask)


def test_a_video_that_is_cut_off(command: Run, tiny_onnx: Path, video: Path, tmp_path: Path) -> None:
    data = video.read_bytes()
    video.write_bytes(data[: len(data) * 8 // 10])

    ended = command(main, tiny_onnx, video, "-o", tmp_path / "out.mp4", "--json")

    assert ended.code == 3
    done = json.loads(ended.out)["images"]
    assert 3 <= done < 10
    assert f"skipped {video}: {10 - done} of its 10 frames are damaged or cut off" in ended.err
    assert len(read_video(tmp_path / "out.mp4")[0]) == len(lines(tmp_path / "out")) == done


def test_a_video_with_damaged_frames(command: Run, tiny_onnx: Path, video: Path, tmp_path: Path) -> None:
    data = bytearray(video.read_bytes())
    starts = [i for i in range(len(data)) if data.startswith(b"\xff\xd8\xff", i)]
    data[starts[4] : starts[5] - 8] = bytes(starts[5] - 8 - starts[4])
    video.write_bytes(data)

    ended = command(main, tiny_onnx, video, "-o", tmp_path / "out")

    assert ended.code == 3
    assert f"skipped {video}: 1 of its 10 frames are damaged or cut off" in ended.err
    assert [line["frame"] for line in lines(tmp_path / "out")] == [0, 1, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("content", ["header alone", "nothing", "text"])
def test_a_video_without_frames(
    content: str, command: Run, tiny_onnx: Path, video: Path, picture_file: Path, tmp_path: Path
) -> None:
    data = video.read_bytes()
    video.write_bytes(
        {"header alone": data[: data.index(b"movi") + 4], "nothing": b"", "text": b"no video"}[content]
    )

    ended = command(main, tiny_onnx, video, picture_file, "-o", tmp_path / "out")

    assert ended.code == 3
    assert f"skipped {video}: " in ended.err
    assert "Copy the file again" in ended.err
    assert [line["file"] for line in lines(tmp_path / "out")] == [str(picture_file)]


def test_a_size_that_changes_in_the_stream(
    command: Run, tiny_onnx: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    small, large = picture[:32, :32], np.tile(picture, (2, 2, 1))
    encoded = [cv2.imencode(".jpg", p[:, :, ::-1])[1].tobytes() for p in (small, large)]
    video = tmp_path / "changing.mjpeg"
    video.write_bytes(encoded[0] * 5 + encoded[1] * 5)

    ended = command(main, tiny_onnx, video, "-o", tmp_path / "out.mp4")

    assert ended.code == 0, ended.err
    drawn, _ = read_video(tmp_path / "out.mp4")
    sizes = {(line["width_px"], line["height_px"]) for line in lines(tmp_path / "out")}
    assert len(drawn) == 10
    assert sizes == {(32, 32)}, "OpenCV scales what follows to the first frame's size"
    assert {frame.shape for frame in drawn} == {(32, 32, 3)}


def test_a_stream_whose_frames_do_change_their_size(
    tmp_path: Path, picture: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    """As GStreamer may give them; OpenCV's writer would drop them without a word."""
    writer = VideoWriter(tmp_path / "out.mp4", FPS, (48, 64))
    for frame in (picture, np.tile(picture, (2, 2, 1)), picture):
        writer.add(frame)
    writer.close()

    frames, _ = read_video(tmp_path / "out.mp4")
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    assert "1 frames are of another size than the first, and scaled to it" in capfd.readouterr().err


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (47, 64)])
def test_a_video_of_odd_sides(
    size: tuple[int, int], command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    frame = cv2.imencode(".jpg", cv2.imread(str(picture_file))[: size[0], : size[1]])[1].tobytes()
    (tmp_path / "odd.mjpeg").write_bytes(frame * 3)

    ended = command(main, tiny_onnx, tmp_path / "odd.mjpeg", "-o", tmp_path / "out.mp4")

    assert ended.code == 0
    assert "a video's sides are even, so the last row or column of px is left out" in ended.err


def test_of_even_sides_nothing_is_left_out(
    command: Run, tiny_onnx: Path, video: Path, tmp_path: Path
) -> None:
    assert "left out" not in command(main, tiny_onnx, video, "-o", tmp_path / "out.mp4").err


def test_images_do_not_become_a_video(
    command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    ended = command(main, tiny_onnx, picture_file, "-o", tmp_path / "out.mp4")

    assert ended.code == 2
    assert "takes one video or camera, not 1 inputs" in ended.err
    assert not (tmp_path / "out").exists()


def test_progress_knows_how_many_frames_will_come(video: Path, picture_file: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.avi").write_bytes(b"")
    shutil.copy(video, tmp_path / "uncounted.ts")
    names = [str(picture_file), str(video), str(tmp_path / "cut.avi"), str(tmp_path / "uncounted.ts")]
    files = open_inputs([*names, "http://localhost/a.mp4", "0"])

    assert [source.length for source in files] == [1, 10, None, None, None, None]


def test_a_trace_tells_every_stage(command: Run, tiny_onnx: Path, video: Path, tmp_path: Path) -> None:
    command(main, tiny_onnx, video, "-o", tmp_path / "out", "--profile", tmp_path / "trace.json")

    told = json.loads((tmp_path / "trace.json").read_text())
    stages = {"decode", "preprocess", "infer", "postprocess", "draw", "write"}
    events = [event for event in told if event["ph"] == "X"]
    assert {event["name"] for event in events} == stages
    assert len({event["tid"] for event in events}) == len(stages), "a thread each"
    threads = {event["tid"]: event["args"]["name"] for event in told if event["ph"] == "M"}
    assert all(threads[event["tid"]] == event["name"] for event in events if event["name"] != "write")
    assert len(told) == len(events) + len(threads)
    inferred = [event for event in events if event["name"] == "infer"]
    assert len(inferred) == 10
    ends = [event["ts"] + event["dur"] for event in inferred]
    assert all(end <= after["ts"] for end, after in zip(ends, inferred[1:], strict=False))
