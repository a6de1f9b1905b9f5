"""`maskrt infer` before it writes anything: outputs that cannot be, and inputs that would be written over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.runtime.infer import main
from maskrt.runtime.outputs.pictures import VideoWriter
from tests.runtime.videos import moving, read_video, write_video

Run = Callable[..., Any]


@pytest.fixture
def video(picture: np.ndarray, tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.avi", moving(picture, 3))


def refused(ended: Any) -> str:
    assert ended.code == 2
    (sentence,) = ended.err.splitlines()
    return sentence


def test_a_video_is_not_written_over_itself(command: Run, tiny_onnx: Path, video: Path) -> None:
    before = video.read_bytes()

    said = refused(command(main, tiny_onnx, video, "-o", video))

    assert said == (
        f"maskrt infer: {video}: an input that lies where this run writes ({video}). "
        "Choose another output, or have it replaced: --overwrite"
    )
    assert video.read_bytes() == before
    assert [p.name for p in video.parent.iterdir()] == ["clip.avi"]


def test_a_second_run_beside_the_photos_does_not_take_its_overlays_for_photos(
    command: Run, tiny_onnx: Path, picture_file: Path
) -> None:
    photos = picture_file.parent
    assert command(main, tiny_onnx, photos, "-o", photos).code == 0
    drawn = (photos / "overlays" / "picture.png").read_bytes()

    said = refused(command(main, tiny_onnx, photos, "-o", photos))

    assert f"{photos / 'overlays' / 'picture.png'}: an input that lies where this run writes" in said
    assert (photos / "overlays" / "picture.png").read_bytes() == drawn
    assert command(main, tiny_onnx, photos, "-o", photos, "--no-overlays").code == 0


def test_a_splash_alone_becomes_the_video(command: Run, tiny_onnx: Path, video: Path, tmp_path: Path) -> None:
    arguments = (tiny_onnx, video, "-o", tmp_path / "out.mp4", "--no-overlays", "--splash")
    assert command(main, *arguments).code == 0

    frames, _ = read_video(tmp_path / "out.mp4")
    assert len(frames) == 3
    assert not (tmp_path / "out" / "splash").exists()


def test_a_video_of_nothing_is_refused(command: Run, tiny_onnx: Path, video: Path, tmp_path: Path) -> None:
    said = refused(command(main, tiny_onnx, video, "-o", tmp_path / "out.mp4", "--no-overlays"))

    assert "with --no-overlays and without --splash it has nothing to show" in said


def test_a_kind_of_video_that_cannot_be_written(
    command: Run, tiny_onnx: Path, video: Path, tmp_path: Path
) -> None:
    said = refused(command(main, tiny_onnx, video, "-o", tmp_path / "out.ts"))

    assert f"videos are written as .mp4, .m4v, .mov, .mkv, .avi. Name it {tmp_path / 'out.mp4'}" in said
    assert [p.name for p in tmp_path.iterdir()] == ["clip.avi"]


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv", ".avi"])
def test_every_kind_of_video_is_written_whole(suffix: str, picture: np.ndarray, tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / f"out{suffix}", 29.97, (48, 64))
    for frame in moving(picture, 7):
        writer.add(frame)
    writer.close()

    frames, fps = read_video(tmp_path / f"out{suffix}")
    assert len(frames) == 7
    assert fps == pytest.approx(29.97, abs=0.01)


@pytest.mark.parametrize("declared", [0.0, 90_000.0, float("nan")], ids=["none", "ticks", "nan"])
def test_a_camera_that_does_not_know_its_frame_rate(
    declared: float, picture: np.ndarray, tmp_path: Path
) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", declared, (48, 64))
    writer.add(picture)
    writer.close()

    assert read_video(tmp_path / "out.mp4")[1] == 25
