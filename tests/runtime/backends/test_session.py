"""What every session does, whatever runs the model: ONNX Runtime, or TensorRT where there is a GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskrt.runtime.backends.open import Outputs, Session, open_session
from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import ModelError
from maskrt.runtime.predictor import Predictor, load
from tests.runtime.engines import build_engine, skip_without_tensorrt

Make = Callable[..., Contract]
Write = Callable[..., Path]
Open = Callable[..., Session]
SIZES = np.array([[48, 64]], np.float32)


def canvas(batch: int = 1, height: int = 64, width: int = 96, dtype: str = "uint8") -> np.ndarray:
    return np.full((batch, height, width, 3), 7, dtype)


@pytest.fixture(scope="module", params=["ONNX Runtime", pytest.param("TensorRT", marks=pytest.mark.gpu)])
def open_model(request: pytest.FixtureRequest) -> Open:
    """Opens an exported model on the backend; on TensorRT as an engine for all the shapes of this file."""
    if request.param == "ONNX Runtime":
        return open_session
    skip_without_tensorrt()
    return lambda path, **profile: open_session(build_engine(path, **profile))


@pytest.fixture(scope="module")
def session(open_model: Open, tiny_onnx: Path) -> Session:
    """Any batch and canvas."""
    if open_model is open_session:
        return open_session(tiny_onnx)
    return open_model(tiny_onnx, min="1x32x32", opt="1x64x96", max="4x160x160")


@pytest.fixture(scope="module")
def fixed(open_model: Open, write_model: Write, contract_with: Make) -> Session:
    """Batch 2, canvas 64x96."""
    return open_model(write_model("fixed.onnx", contract_with(batch=2, height_px=64, width_px=96)))


def message(session: Session, images: np.ndarray, sizes: np.ndarray) -> str:
    with pytest.raises(ModelError) as caught:
        session.infer(images, sizes)
    assert str(caught.value).startswith(f"{session.name}: ")
    return str(caught.value)


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_gives_the_contract_s_outputs(batch: int, session: Session) -> None:
    sizes = np.repeat(SIZES, batch, axis=0)
    images = canvas(batch)
    images[0] = 0

    got = session.infer(images, sizes)

    assert got["num_detections"].tolist() == [0, *[3] * (batch - 1)]
    assert [a.shape for a in got.values()] == [
        (batch,),
        (batch, 4, 4),
        (batch, 4),
        (batch, 4),
        (batch, 4, 8, 8),
    ]
    assert [str(a.dtype) for a in got.values()] == [
        "int32",
        "float32",
        "float32",
        "int32",
        "float32",
    ]
    assert not got["scores"][0].any()
    assert not got["boxes"][0].any()
    if batch > 1:
        np.testing.assert_allclose(got["boxes"][1, 0], [6.4, 9.6, 38.4, 43.2], rtol=1e-6)  # float32


@pytest.mark.parametrize("shape", [(32, 32), (64, 160), (160, 64)])
def test_a_dynamic_model_takes_any_multiple_of_its_stride(shape: tuple[int, int], session: Session) -> None:
    assert session.infer(canvas(1, *shape), SIZES)["num_detections"].tolist() == [3]


@pytest.mark.parametrize(
    "images",
    [
        canvas(dtype="float32"),
        canvas(dtype="int64"),
        canvas()[0],
        canvas()[..., :2],
        canvas().transpose(0, 3, 1, 2),
    ],
    ids=["float32", "int64", "no batch", "two channels", "channels first"],
)
def test_names_images_that_the_model_does_not_take(images: np.ndarray, session: Session) -> None:
    said = message(session, images, SIZES)

    assert f"input 'images' is {images.dtype} {images.shape}, the model takes uint8 (N, H, W, 3)" in said
    assert "maskrt.runtime.preprocess.preprocess makes it from an image" in said


@pytest.mark.parametrize("shape", [(65, 96), (64, 90), (1, 1)])
def test_names_a_canvas_that_is_no_multiple(shape: tuple[int, int], session: Session) -> None:
    said = message(session, canvas(1, *shape), SIZES)

    assert f"canvas {shape[0]}x{shape[1]} is no multiple of 32" in said
    assert "pad it with zeros" in said


@pytest.mark.parametrize(
    "sizes",
    [SIZES.astype(np.float64), SIZES[0], np.repeat(SIZES, 2, axis=0), SIZES[:, :1]],
    ids=["float64", "no batch", "two for one", "heights alone"],
)
def test_names_sizes_that_do_not_fit(sizes: np.ndarray, session: Session) -> None:
    said = message(session, canvas(), sizes)

    assert f"input 'image_sizes' is {sizes.dtype} {sizes.shape}, expected float32 (1, 2)" in said
    assert "(height, width) per image" in said


@pytest.mark.parametrize("got", [(1, 64, 96), (3, 64, 96), (2, 96, 64), (2, 64, 128)])
def test_a_fixed_model_names_what_it_is_fixed_to(got: tuple[int, int, int], fixed: Session) -> None:
    said = message(fixed, canvas(*got), np.repeat(SIZES, got[0], axis=0))

    assert f"input 'images' is (N, H, W) = {got}, the model is fixed to (2, 64, 96)" in said
    assert "maskrt export CHECKPOINT --dynamic" in said


def test_a_fixed_model_runs_what_it_is_fixed_to(fixed: Session) -> None:
    assert fixed.infer(canvas(2), np.repeat(SIZES, 2, axis=0))["num_detections"].tolist() == [3, 3]


def test_arrays_need_not_be_contiguous(session: Session) -> None:
    images = canvas(1, 96, 64).transpose(0, 2, 1, 3)
    assert not images.flags.c_contiguous

    assert session.infer(images, SIZES[:, ::-1])["boxes"][0, 0, 2] == pytest.approx(0.6 * 48)


def test_several_threads_may_share_a_session(session: Session) -> None:
    results: dict[int, Outputs] = {}

    def work(i: int) -> None:
        results[i] = session.infer(canvas(), np.array([[32, i + 1]], np.float32))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [float(results[i]["boxes"][0, 0, 2]) for i in range(8)] == pytest.approx(
        [0.6 * n for n in range(1, 9)]
    )


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_a_predictor_feeds_a_fixed_batch_in_chunks(count: int, fixed: Session, picture: np.ndarray) -> None:
    images = [np.ascontiguousarray(picture[:, : 20 + 8 * i]) for i in range(count)]

    results = Predictor(fixed)(images, min_score=0)

    assert [(r.height_px, r.width_px) for r in results] == [(48, 20 + 8 * i) for i in range(count)]
    assert [r.names for r in results] == [["toothbrush", "cat", "car"]] * count
    assert [float(r.boxes[0, 2]) for r in results] == pytest.approx(
        [0.6 * (20 + 8 * i) for i in range(count)]
    )


def test_an_output_that_overflows_is_no_result(
    open_model: Open, write_model: Write, contract_with: Make
) -> None:
    contract = contract_with(batch=1, height_px=64, width_px=96)
    session = open_model(write_model("large.onnx", contract, box_rows=np.full((3, 4), 3e38)))

    assert "output 'boxes' holds NaN or infinity" in message(session, canvas(), SIZES)


@pytest.mark.parametrize("name", ["scores", "boxes", "masks"])
def test_an_output_that_is_no_number_is_no_result(
    name: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the backend; files whose weights are no numbers are not even loaded."""
    outputs = session.infer(canvas(), SIZES)
    outputs[name][:] = np.nan
    monkeypatch.setattr(session, "_run", lambda images, image_sizes: outputs)

    assert f"output '{name}' holds NaN or infinity" in message(session, canvas(), SIZES)


def test_outputs_are_the_caller_s_own(session: Session) -> None:
    first = session.infer(canvas(), SIZES)
    kept = first["boxes"].copy()
    session.infer(canvas(), SIZES / 2)
    first["scores"][:] = 7  # writable, and nobody else's

    np.testing.assert_array_equal(first["boxes"], kept)
    assert session.infer(canvas(), SIZES)["scores"].max() < 1


def test_shapes_may_take_turns(session: Session) -> None:
    """A third time of a shape is a replay on a GPU: the same as the first."""
    rounds = [
        [session.infer(canvas(batch, side, 64), np.repeat(SIZES, batch, axis=0)) for batch, side in shapes]
        for shapes in [((1, 64), (2, 96), (1, 160))] * 3
    ]

    for first, *others in zip(*rounds, strict=True):
        for other in others:
            for name, value in first.items():
                np.testing.assert_array_equal(other[name], value)


def test_two_sessions_live_side_by_side(session: Session, fixed: Session) -> None:
    ours, theirs = (
        session.infer(canvas(2), np.repeat(SIZES, 2, axis=0)),
        fixed.infer(canvas(2), SIZES[[0, 0]]),
    )

    np.testing.assert_allclose(ours["boxes"], theirs["boxes"], rtol=1e-6)  # float32


def test_a_predictor_takes_one_image(tiny_onnx: Path, picture: np.ndarray) -> None:
    (result,) = load(tiny_onnx)(picture, min_score=0.5)

    assert result.names == ["toothbrush", "cat"]
    assert (result.height_px, result.width_px) == picture.shape[:2]
