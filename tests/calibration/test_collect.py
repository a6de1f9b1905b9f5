"""Streaming observation: every image once, resumable, and the work of each layer."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.samples import scene
from maskrt.calibration.decide.candidate import read_model
from maskrt.calibration.decide.layers import Graph, multiply_adds
from maskrt.calibration.measure import collect
from maskrt.calibration.measure.collect import Progress, measure
from maskrt.calibration.measure.images import WANTED, CalibrationImage, find, readable
from maskrt.calibration.measure.observers import Observer
from maskrt.calibration.measure.scales import Key, Scales
from maskrt.runtime.errors import DataError, ImageError
from maskrt.runtime.files.atomic import write_png
from tests.calibration.graphs import parse

RETAINED_BYTES = 50_000  # over two images: counters that outgrow small integers, names; no tensor


@pytest.fixture(scope="module")
def images() -> list[CalibrationImage]:
    return [CalibrationImage(str(i), lambda i=i: scene(i)) for i in range(3)]


def measured(model: Path, images: list[CalibrationImage], folder: Path, upto: int | None = None) -> Scales:
    loaded, contract = read_model(model, "fp32")
    key = Key.of(model, contract, "images")
    return measure(loaded, contract, images[:upto], key, folder / "part.npz")


def test_an_interrupted_run_goes_on_and_ends_as_if_it_had_not_been(
    random_onnx: Path, images: list[CalibrationImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = measured(random_onnx, images, tmp_path)
    assert not (tmp_path / "part.npz").exists(), "a short run leaves nothing behind"
    read: list[int] = []

    def counted(index: int, fail: bool = False) -> np.ndarray:
        if fail:
            raise KeyboardInterrupt
        read.append(index)
        return scene(index)

    monkeypatch.setattr(collect, "SAVE_EVERY_S", 0.0)
    killed = [CalibrationImage(str(i), lambda i=i: counted(i, fail=i == 2)) for i in range(3)]
    with pytest.raises(KeyboardInterrupt):
        measured(random_onnx, killed, tmp_path)
    resumed = measured(
        random_onnx, [CalibrationImage(str(i), lambda i=i: counted(i)) for i in range(3)], tmp_path
    )
    assert read == [0, 1, 2], "each image once"
    assert resumed == at_once


def test_what_another_model_left_is_not_gone_on_from(
    random_onnx: Path, images: list[CalibrationImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "SAVE_EVERY_S", 0.0)
    left = measured(random_onnx, images, tmp_path, upto=1)
    changed = onnx.load(random_onnx)
    changed.doc_string = "another"
    onnx.save(changed, tmp_path / "other.onnx")
    fresh = measured(tmp_path / "other.onnx", images[1:2], tmp_path)
    assert fresh.images == 1
    assert fresh.tensors != left.tensors


KEY = Key("model", "checkpoint", "images", "preprocessing", "none")


def saved(path: Path) -> None:
    seen = Observer()
    seen.observe(np.array([1, -2, 0.5], np.float32))
    Progress(7, {"a": seen, "b": Observer()}, {"layer": 10.0}).save(path, KEY)


def test_progress_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """A tensor that no image has reached yet has infinite extremes."""
    saved(tmp_path / "part.npz")
    progress = Progress.resume(tmp_path / "part.npz", KEY, ["a", "b"])
    assert (progress.done, progress.work) == (7, {"layer": 10.0})
    assert progress.observers["a"].minimum == -2
    assert progress.observers["a"].counts.sum() == 3
    assert progress.observers["b"].minimum == np.inf
    assert Progress.resume(tmp_path / "part.npz", KEY, ["a", "c"]).done == 0, "of other tensors"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def short_histograms(path: Path) -> None:
    with np.load(path) as stored:
        state = stored["state"]
    np.savez(path, state=state, counts=np.zeros((2, 7), np.int64))


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        short_histograms,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no archive"),
        lambda path: np.savez(path, counts=np.zeros(3)),
        lambda path: np.savez(path, state="[", counts=np.zeros(3)),
        lambda path: np.savez(path, state="[]", counts=np.zeros(3)),
    ],
)
def test_a_damaged_file_of_progress_is_reported_and_measuring_begins_anew(
    damage: Callable[[Path], object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "part.npz"
    saved(path)
    damage(path)
    assert Progress.resume(path, KEY, ["a", "b"]).done == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "part.npz: not the ranges of an interrupted run" in said


def test_multiply_adds_by_hand() -> None:
    model = parse(
        """float[2, 3, 9, 11] x) => (float[2, 5] y {
            a = Conv <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x, a_weight)
            b = ConvTranspose <kernel_shape = [2, 2], strides = [2, 2]> (a, b_weight)
            flat = Flatten (b)
            y = Gemm <transB = 1> (flat, c_weight)
        }""",
        {"a.weight": (4, 3, 3, 3), "b.weight": (4, 6, 2, 2), "c.weight": (5, 6 * 10 * 12)},
    )
    a, b, c = (n for n in model.graph.node if n.op_type != "Flatten")
    assert multiply_adds(a, (2, 3, 9, 11), (4, 3, 3, 3)) == 2 * (5 * 6) * (4 * 3 * 9)
    assert multiply_adds(b, (2, 4, 5, 6), (4, 6, 2, 2)) == 2 * (5 * 6) * (4 * 6 * 4)
    assert multiply_adds(c, (2, 720), (5, 720)) == 2 * 720 * 5


def test_a_tensor_is_told_by_the_layer_it_comes_from() -> None:
    model = parse(
        """float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y {
            a = Conv <kernel_shape = [1, 1]> (x, a_weight)
            b = Conv <kernel_shape = [1, 1]> (a, b_weight)
            sum = Add (b, a)
            y = Relu (sum)
        }""",
        {"a.weight": (4, 4, 1, 1), "b.weight": (4, 4, 1, 1)},
    )
    graph = Graph(model.graph)
    assert [graph.layer_before(tensor) for tensor in ("x", "a", "b", "y")] == ["", "a", "b", "b"]


def test_images_are_spread_evenly_over_what_there_is(tmp_path: Path) -> None:
    for i in range(10):
        write_png(tmp_path / f"{i}.png", scene(0))
    assert [Path(i.name).stem for i in find(str(tmp_path), 4)] == ["0", "3", "6", "9"]
    assert len(find(str(tmp_path), WANTED)) == 10
    assert len(find("synthetic:5:1", 3)) == 3


def test_no_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no images"):
        find(str(tmp_path), 500)
    with pytest.raises(DataError, match="0 are asked for"):
        find("synthetic:5:1", 0)


def test_blank_images_are_refused(tmp_path: Path) -> None:
    for i in range(3):
        write_png(tmp_path / f"{i}.png", np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(DataError, match=r"3 of 3 calibration images are blank \(such as .*0\.png\)"):
        readable(find(str(tmp_path), 3))


def test_the_digest_is_of_the_pixels_in_their_order(images: list[CalibrationImage]) -> None:
    same = [CalibrationImage("renamed", image.read) for image in images]
    assert readable(same)[1] == readable(images)[1] != readable(images[::-1])[1]


def test_an_image_that_cannot_be_decoded_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        write_png(tmp_path / f"{i}.png", scene(i))
    whole = readable(find(str(tmp_path), 2))[1]
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:900])
    kept, pixels_sha256 = readable(find(str(tmp_path), 3))
    assert [Path(image.name).stem for image in kept] == ["0", "2"]
    assert pixels_sha256 == whole, "as if it had not been there"
    assert f"skipped {tmp_path / '1.png'}: a damaged or cut-off image" in capsys.readouterr().err
    for name in ("0.png", "2.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match="none of 3 images can be decoded"):
        readable(find(str(tmp_path), 3))


def test_nothing_of_an_image_stays_but_its_place_in_the_histograms(
    random_onnx: Path, images: list[CalibrationImage], tmp_path: Path
) -> None:
    """Python's and numpy's memory after two images and after four. A map of one image would be 100 kB more;
    histograms are of fixed size."""
    held: list[int] = []

    def read(index: int) -> np.ndarray:
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
        if index == 4:
            raise KeyboardInterrupt  # enough is known
        return scene(index % 3)

    watched = [CalibrationImage(str(i), lambda i=i: read(i)) for i in range(5)]
    tracemalloc.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            measured(random_onnx, watched, tmp_path)
    finally:
        tracemalloc.stop()
    assert held[4] - held[2] < RETAINED_BYTES
