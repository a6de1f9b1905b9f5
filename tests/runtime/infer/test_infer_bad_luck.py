"""What becomes of a run when the world is against it: the disk, the pictures, the model, a thread."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.runtime.backends.open import Session
from maskrt.runtime.infer import main
from tests.conftest import REPOSITORY
from tests.runtime.videos import moving, read_video, write_video

Run = Callable[..., Any]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def one_sentence(ended: Any, code: int = 2) -> str:
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    return ended.err.splitlines()[-1]


def limited(size_bytes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command, where no file may grow over a size, as a full disk or a quota has it."""
    return subprocess.run(
        [sys.executable, "-m", "maskrt.runtime.infer", *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes)),
    )


def test_a_quota_that_is_reached_by_the_video(tiny_onnx: Path, picture: np.ndarray, tmp_path: Path) -> None:
    noise = [np.random.default_rng(i).integers(0, 255, (96, 128, 3), np.uint8) for i in range(60)]
    source = write_video(tmp_path / "noise.avi", noise)

    done = limited(100_000, tiny_onnx, source, "-o", tmp_path / "out.mp4")

    assert done.returncode == 2
    assert f"{tmp_path / 'out.mp4'}: could not be written (" in done.stderr
    assert done.stderr.endswith("Free some space there.\n")
    assert {p.name for p in tmp_path.iterdir()} == {"noise.avi", "out"}, "no half a video"


def test_a_quota_that_is_reached_by_the_lines(tiny_onnx: Path, picture: np.ndarray, tmp_path: Path) -> None:
    source = write_video(tmp_path / "clip.avi", moving(picture, 30))

    done = limited(8_000, tiny_onnx, source, "-o", tmp_path / "out", "--no-overlays")

    assert done.returncode == 2
    assert "could not be written (" in done.stderr
    assert "Traceback" not in done.stderr
    assert 0 < len(lines(tmp_path / "out")) < 30, "and those are whole"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["results.jsonl"]


def test_a_disk_that_is_full(command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.jsonl").symlink_to("/dev/full")

    said = one_sentence(command(main, tiny_onnx, picture_file, "-o", out, "--no-overlays"))

    assert said.startswith(f"maskrt infer: {out / 'results.jsonl'}: could not be written (No space left")
    assert not (out / "predictions.json").exists()


def test_a_folder_that_cannot_be_made(command: Run, tiny_onnx: Path, picture_file: Path) -> None:
    """Not even by root."""
    said = one_sentence(command(main, tiny_onnx, picture_file, "-o", "/proc/out"))

    assert said.startswith("maskrt infer: /proc/out: cannot be written (")
    assert said.endswith("Choose another output.")


def test_an_output_that_is_taken_leaves_nothing_behind(
    command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "contours.jsonl").mkdir(parents=True)
    arguments = (picture_file, "-o", out, "--contours", "--profile", tmp_path / "trace.json")

    said = one_sentence(command(main, tiny_onnx, *arguments))

    assert said.startswith(f"maskrt infer: {out / 'contours.jsonl'}: a folder; ")
    assert {p.name for p in out.iterdir()} == {"contours.jsonl"}
    assert {p.name for p in tmp_path.iterdir()} == {"out", "picture.png"}


def test_links_that_lead_in_circles(
    command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    deep = picture_file.parent / "photos" / "deep"
    deep.mkdir(parents=True)
    picture_file.rename(deep / "a.png")
    for i in range(3):  # with glob.glob each way through them is another path
        (deep / f"up{i}").symlink_to(deep.parent, target_is_directory=True)
    (deep / "self.png").symlink_to(deep / "self.png")

    for name in (deep.parent, deep.parent / "**" / "*.png"):
        ended = command(main, tiny_onnx, name, "-o", tmp_path / "out", "--json")
        assert ended.code == 0, ended.err
        assert json.loads(ended.out)["images"] == 1


def png_of(width: int, height: int) -> bytes:
    """A PNG of one colour, a thousandth of its pixels long."""
    return cv2.imencode(".png", np.zeros((height, width), np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 9])[
        1
    ].tobytes()


def test_a_picture_of_200_megapixels(
    command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(png_of(20_000, 10_000))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    ended = command(main, tiny_onnx, large, picture_file, "-o", tmp_path / "out", "--no-overlays")

    assert ended.code == 3
    assert f"skipped {large}: too large: 20000x10000 is 200 megapixels, the limit is 100" in ended.err
    assert "--max-megapixels 200" in ended.err
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1e3
    assert grown_mb < 200, "600 MB of pixels were decoded"


def test_its_limit_can_be_raised(command: Run, tiny_onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of(1500, 1000))
    arguments = (main, tiny_onnx, tmp_path / "a.png", "-o", tmp_path / "out", "--no-overlays")

    assert command(*arguments, "--max-megapixels", 1.4).code == 3
    assert command(*arguments, "--max-megapixels", 1.5).code == 0


def test_a_decompression_bomb(command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path) -> None:
    """A small PNG that says it is of a terapixel."""
    data = bytearray(picture_file.read_bytes())
    data[16:24] = (1_000_000).to_bytes(4, "big") * 2
    (tmp_path / "bomb.png").write_bytes(data)

    ended = command(main, tiny_onnx, tmp_path / "bomb.png", "-o", tmp_path / "out")

    assert ended.code == 3
    assert "too large: 1000000x1000000" in ended.err


@pytest.mark.parametrize("where", ["", "file://"], ids=["a file", "a bucket"])
def test_a_terabyte_that_is_called_an_image(
    where: str, command: Run, tiny_onnx: Path, tmp_path: Path
) -> None:
    """Of holes alone, so that a disk holds it."""
    (tmp_path / "large.jpg").touch()
    os.truncate(tmp_path / "large.jpg", 10**12)
    name = f"{where}{tmp_path / 'large.jpg'}"

    ended = command(main, tiny_onnx, name, "-o", tmp_path / "out")

    assert ended.code == 3
    assert f"skipped {name}: too large: 1000000 MB are more than an image of 100 megapixels" in ended.err


def test_a_zip_bomb(command: Run, tiny_onnx: Path, tmp_path: Path) -> None:
    """A hundred megabytes of zeros in a hundred kilobytes."""
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.bmp", bytes(10**8))
    arguments = (main, tiny_onnx, tmp_path / "bomb.zip", "-o", tmp_path / "out")

    ended = command(*arguments, "--max-megapixels", 2)

    assert ended.code == 3
    assert "bomb.bmp: too large: 100 MB are more than an image of 2 megapixels" in ended.err


def test_a_model_whose_names_are_missing(
    command: Run, write_model: Run, contract_with: Run, picture_file: Path, tmp_path: Path
) -> None:
    nameless = write_model(contract=contract_with(classes=contract_with().classes[:1]))

    said = one_sentence(command(main, nameless, picture_file, "-o", tmp_path / "out"))

    assert "output 'labels' holds 1, but the model names only 1 classes" in said
    assert "--classes" in said
    assert not (tmp_path / "out" / "predictions.json").exists()


def test_a_picture_larger_than_the_model_s_canvas(
    command: Run, write_model: Run, contract_with: Run, picture: np.ndarray, tmp_path: Path
) -> None:
    """It is scaled to fit; the results are in its own pixels."""
    fixed = write_model(contract=contract_with(height_px=64, width_px=96, batch=1))
    (tmp_path / "large.png").write_bytes(cv2.imencode(".png", np.tile(picture, (10, 10, 1)))[1].tobytes())

    assert command(main, fixed, tmp_path / "large.png", "-o", tmp_path / "out").code == 0

    (line,) = lines(tmp_path / "out")
    assert (line["width_px"], line["height_px"]) == (640, 480)
    assert line["detections"][0]["bbox"] == pytest.approx([64, 96, 320, 336], abs=1e-3)


def test_a_batch_that_the_model_does_not_take(
    command: Run, write_model: Run, contract_with: Run, picture_file: Path, tmp_path: Path
) -> None:
    fixed = write_model(contract=contract_with(height_px=64, width_px=96, batch=2))

    said = one_sentence(command(main, fixed, picture_file, "-o", tmp_path / "out", "--batch", 3))

    assert "fixed to 2 images a call, not 3" in said
    assert command(main, fixed, picture_file, "-o", tmp_path / "out").code == 0, (
        "one image fills no batch of 2"
    )


@pytest.mark.parametrize("error", [KeyError("no room"), RuntimeError("device lost")], ids=repr)
def test_a_thread_that_dies(
    error: Exception, tiny_onnx: Path, picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it died of is raised, nobody waits for it, and what was found before is kept."""
    source = write_video(tmp_path / "clip.avi", moving(picture, 30))
    calls: list[int] = []
    infer = Session.infer

    def dying(self: Session, *arrays: np.ndarray) -> Any:
        calls.append(1)
        if len(calls) == 20:
            raise error
        return infer(self, *arrays)

    monkeypatch.setattr(Session, "infer", dying)
    with pytest.raises(type(error), match=str(error)):
        main([str(tiny_onnx), str(source), "-o", str(tmp_path / "out.mp4")])

    assert len(lines(tmp_path / "out")) == len(read_video(tmp_path / "out.mp4")[0]) == 19
    assert not (tmp_path / "out" / "predictions.json").exists()
    ours = {"decode", "preprocess", "infer", "postprocess", "draw"}
    assert not ours & {thread.name for thread in threading.enumerate()}


def test_file_handles_are_given_back(
    command: Run, tiny_onnx: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    source = write_video(tmp_path / "clip.avi", moving(picture, 5))
    arguments = (main, tiny_onnx, source, "-o", tmp_path / "out", "--profile", tmp_path / "trace.json")
    command(*arguments)
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(5):
        assert command(*arguments).code == 0

    assert len(os.listdir("/proc/self/fd")) <= before
