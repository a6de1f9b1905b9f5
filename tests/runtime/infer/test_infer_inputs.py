"""Inputs that are not files in a folder: cameras that go away, archives, names on standard input, buckets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskrt.runtime.infer import main
from maskrt.runtime.inputs import video
from maskrt.runtime.packages import install
from tests.conftest import REPOSITORY
from tests.runtime.cameras import camera
from tests.runtime.videos import read_video

Run = Callable[..., Any]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_camera_that_goes_away_and_comes_back(
    command: Run, tiny_onnx: Path, picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "RECONNECT_AFTER_S", 0.05)
    frame = cv2.imencode(".jpg", picture[:, :, ::-1])[1].tobytes()

    with camera(frame, connections=2, frames=40) as url:
        ended = command(main, tiny_onnx, url, "-o", tmp_path / "out", "--json")

    assert ended.code == 3
    said = [line for line in ended.err.splitlines() if line.startswith("skipped ")]
    assert [line.split(": ")[1].split(" after ")[0] for line in said] == ["broke off", "broke off", "gone"]
    summary = json.loads(ended.out)
    dropped = [int(p.split()[0]) for p in ended.err.split("; ") if "dropped" in p]
    seen = summary["images"] + sum(dropped)
    assert 20 < seen <= 80, "FFmpeg keeps a few at each end of a connection"
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 2 * summary["images"]
    assert len(read_video(tmp_path / "out" / "overlays" / "stream0.mp4")[0]) == summary["images"]


def test_a_camera_that_is_not_there(
    command: Run, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "RECONNECT_AFTER_S", 0.0)
    for name in ("97", "rtsp://127.0.0.1:9/live", "videotestsrc ! appsink"):
        ended = command(main, tiny_onnx, name, "-o", tmp_path / "out")
        assert ended.code == 3
        assert f"skipped {name}: cannot be opened" in ended.err


def test_an_archive(command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path) -> None:
    """One good member, one damaged, one that would climb out of the output, one that is no image."""
    data, folder = picture_file.read_bytes(), tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for name, content in (
            ("a.png", data),
            ("../../up.png", data),
            ("note.txt", b"hello"),
            ("__MACOSX/._a.png", b"what macOS puts beside a.png"),
            ("z.png", data),
        ):
            archive.writestr(name, content)
    raw = bytearray((folder / "photos.zip").read_bytes())
    last = raw.rindex(data)
    raw[last + 100 : last + 120] = bytes(20)
    (folder / "photos.zip").write_bytes(raw)

    ended = command(main, tiny_onnx, folder / "photos.zip", "-o", folder / "out")

    assert ended.code == 3
    assert f"skipped {folder / 'photos.zip' / 'z.png'}: cannot be unpacked (Bad CRC-32" in ended.err
    assert len(lines(folder / "out")) == 2
    drawn = [p for p in tmp_path.rglob("*.png") if p != picture_file]
    assert len(drawn) == 2
    assert all(p.is_relative_to(folder / "out" / "overlays") for p in drawn)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive"], ids=["empty", "broken"])
def test_an_archive_that_is_none(content: bytes, command: Run, tiny_onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(content)

    ended = command(main, tiny_onnx, tmp_path / "photos.zip", "-o", tmp_path / "out")

    assert ended.code == 2
    assert f"{tmp_path / 'photos.zip'}: not a zip archive that can be read" in ended.err


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_archive_whose_member_cannot_be_unpacked(
    method: int, command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    pixels = cv2.imencode(".bmp", cv2.imread(str(picture_file)))[1].tobytes()
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", method) as archive:
        archive.writestr("bad.bmp", pixels)
        archive.writestr("good.bmp", pixels)
    raw = bytearray((tmp_path / "photos.zip").read_bytes())
    raw[100:160] = bytes(byte ^ 0x5A for byte in raw[100:160])
    (tmp_path / "photos.zip").write_bytes(raw)

    ended = command(main, tiny_onnx, tmp_path / "photos.zip", "-o", tmp_path / "out")

    assert ended.code == 3
    assert f"skipped {tmp_path / 'photos.zip' / 'bad.bmp'}: cannot be unpacked (" in ended.err
    (line,) = lines(tmp_path / "out")
    assert line["file"].endswith("good.bmp")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an empty text is no value"),
        ("http://localhost/a.jpg", "an image behind a URL, where only videos and streams"),
    ],
    ids=["empty", "an image behind a URL"],
)
def test_names_that_cannot_be_inputs(
    text: str, said: str, command: Run, tiny_onnx: Path, tmp_path: Path
) -> None:
    ended = command(main, tiny_onnx, text, "-o", tmp_path / "out")

    assert ended.code == 2
    assert said in " ".join(ended.err.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_names_on_standard_input_may_be_of_any_encoding(
    tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    """And of a list that Windows made."""
    odd = os.fsencode(tmp_path) + b"/\xff\xfe.png"
    shutil.copy(picture_file, odd)
    arguments = [
        sys.executable,
        "-m",
        "maskrt.runtime.infer",
        str(tiny_onnx),
        "-",
        "-o",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(
        arguments,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        input=odd + b"\r\n" + os.fsencode(picture_file) + b"\r\n",
        capture_output=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert [os.fsencode(line["file"]) for line in lines(tmp_path / "out")] == [odd, os.fsencode(picture_file)]


def test_names_on_standard_input(program: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path) -> None:
    names = f"{picture_file}\n\n{picture_file}\n"
    arguments = [sys.executable, "-m", "maskrt.runtime.infer", tiny_onnx, "-", "-o", tmp_path / "out"]
    done = subprocess.run(
        [str(a) for a in arguments], cwd=REPOSITORY, input=names, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert [line["file"] for line in lines(tmp_path / "out")] == [str(picture_file)]
    empty = subprocess.run(
        [str(a) for a in arguments], cwd=REPOSITORY, input="", capture_output=True, text=True, timeout=60
    )
    assert empty.returncode == 2
    assert "no name came on standard input" in empty.stderr


def test_a_bucket(command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path) -> None:
    """A listing through Apache Arrow, here of files; deeply, as of a folder."""
    deep = tmp_path / "bucket" / "deep down"
    deep.mkdir(parents=True)
    (deep / "b.png").write_bytes(picture_file.read_bytes())
    (tmp_path / "bucket" / "a.png").write_bytes(b"no picture")
    (tmp_path / "bucket" / "note.txt").write_text("no picture either")
    (tmp_path / "bucket" / "._a.png").write_text("nor is this")
    uri = f"file://{tmp_path}/bucket"

    ended = command(main, tiny_onnx, uri, "-o", tmp_path / "out")

    assert ended.code == 3
    assert f"skipped {uri}/a.png: not an image that can be decoded" in ended.err
    (line,) = lines(tmp_path / "out")
    assert line["file"] == f"{uri}/deep%20down/b.png"
    assert len(line["detections"]) == 2
    assert (tmp_path / "out/overlays/deep down/b.png").is_file()
    assert command(main, tiny_onnx, f"{uri}/deep down/b.png", "-o", tmp_path / "out").code == 0


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:///no/such/place", "nothing there that is an image"),
        ("file://host/photos", "not an address that Arrow opens"),
    ],
)
def test_a_bucket_that_is_not_there(
    uri: str, expected: str, command: Run, tiny_onnx: Path, tmp_path: Path
) -> None:
    said = command(main, tiny_onnx, uri, "-o", tmp_path / "out")

    assert said.code == 2
    assert f"maskrt infer: {uri}: {expected}" in said.err


@pytest.mark.parametrize(
    ("arguments", "package"), [(("file:///photos",), "pyarrow"), (("a.png", "--ray", "local"), "ray")]
)
def test_what_needs_the_extra_ray_says_so(
    arguments: tuple[str, ...],
    package: str,
    without: Run,
    tiny_onnx: Path,
    picture_file: Path,
    tmp_path: Path,
) -> None:
    given = [picture_file if a == "a.png" else a for a in arguments]

    ended = without({package}, "maskrt.runtime.infer", tiny_onnx, *given, "-o", tmp_path / "out")

    assert ended.code == 2
    assert f"needs {'the package ' if package == 'ray' else ''}{package}" in ended.err
    assert install("ray") in ended.err


def test_videos_are_not_for_a_cluster(command: Run, tiny_onnx: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")

    ended = command(main, tiny_onnx, "0", "-o", tmp_path / "out", "--ray", "local")

    assert ended.code == 2
    assert "0: --ray takes images alone" in ended.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--ray", "127.0.0.1:9"), "--ray 127.0.0.1:9: no cluster there ([Errno 111] Connection refused)"),
        (("--ray", "ray://127.0.0.1:x"), "--ray ray://127.0.0.1:x: no cluster there (invalid literal"),
        (("--workers", 2), "--workers: of a cluster, which --ray names"),
    ],
)
def test_a_cluster_that_is_not_there_is_told_at_once(
    arguments: tuple[object, ...],
    expected: str,
    command: Run,
    tiny_onnx: Path,
    picture_file: Path,
    tmp_path: Path,
) -> None:
    pytest.importorskip("ray")

    ended = command(main, tiny_onnx, picture_file, "-o", tmp_path / "out", *arguments)

    assert ended.code == 2
    assert ended.err.startswith(f"maskrt infer: {expected}")
