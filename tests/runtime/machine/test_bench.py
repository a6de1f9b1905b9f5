from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.runtime import bench
from maskrt.runtime.backends.open import Outputs, Session, open_session
from maskrt.runtime.backends.open_onnx import installed
from maskrt.runtime.bench import (
    Candidate,
    Timing,
    interleave,
    main,
    masks_call,
    measure,
    print_timings,
    time_batch,
)
from maskrt.runtime.contract import Contract
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.preprocess import preprocess
from tests.runtime.spinning import Spinning

Make = Callable[..., Contract]
Run = Callable[..., Any]
Write = Callable[..., Path]
CANVAS, SIZES = np.zeros((1, 64, 96, 3), np.uint8), np.array([[64, 96]], np.float32)
PAUSE_S, ROUNDS = 0.004, 9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes by sleeping alone: no other program can lengthen a pause."""
    now_s = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now_s[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now_s.append(now_s.pop() + seconds))


class Pausing(Session):
    """A model that takes a known time, and remembers what it was given."""

    def __init__(self, contract: Contract, seconds: float, name: str, log: list[str] | None = None) -> None:
        self.contract, self.seconds, self.name = contract, seconds, name
        self.log = [] if log is None else log
        self.dtypes: set[str] = set()

    def _run(self, images: np.ndarray, image_sizes: np.ndarray) -> Outputs:
        self.log.append(self.name)
        self.dtypes.add(str(images.dtype))
        time.sleep(self.seconds)
        zero = np.zeros(1)
        return Outputs(num_detections=zero)


def test_speeds_are_relative_to_the_first(contract_with: Make, clock: None) -> None:
    contract = contract_with()
    sessions = [
        Pausing(contract, s, n) for n, s in (("a", 3 * PAUSE_S), ("b", PAUSE_S), ("a too", 3 * PAUSE_S))
    ]

    a, b, again = measure(sessions, CANVAS, SIZES, ROUNDS)

    assert [t.model for t in (a, b, again)] == ["a", "b", "a too"]
    assert (a.speedup, a.speedup_p10, a.speedup_p90) == pytest.approx((1, 1, 1))
    assert b.speedup == pytest.approx(3)
    assert b.median_ms == pytest.approx(1e3 * PAUSE_S)
    assert again.speedup == pytest.approx(1)
    for timing in (a, b, again):
        assert 0 < timing.p10_ms <= timing.median_ms <= timing.p90_ms
        assert timing.speedup_p10 <= timing.speedup <= timing.speedup_p90


def test_a_call_waits_for_the_threads_that_the_one_before_left_spinning() -> None:
    watched = Spinning()

    interleave([("spins", watched.leave_a_thread), ("looks", watched.look)], rounds=1)

    assert watched.seen
    assert not any(watched.seen)


def test_rounds_are_interleaved_in_changing_order(contract_with: Make) -> None:
    log: list[str] = []
    sessions = [Pausing(contract_with(), 0, name, log) for name in "ab"]

    measure(sessions, CANVAS, SIZES, rounds=4)

    assert "".join(log) == "abba" * 3, "two warm-up rounds and four counted ones"


def test_the_first_two_rounds_are_not_counted(contract_with: Make, clock: None) -> None:
    class Warming(Pausing):
        def _run(self, images: np.ndarray, image_sizes: np.ndarray) -> Outputs:
            self.seconds = 20 * PAUSE_S if len(self.log) < 2 else 0
            return super()._run(images, image_sizes)

    (timing,) = measure([Warming(contract_with(), 0, "a")], CANVAS, SIZES, rounds=3)

    assert timing.p90_ms < 1e3 * 10 * PAUSE_S


def test_each_model_is_fed_its_own_dtype(contract_with: Make) -> None:
    sessions = [Pausing(contract_with(dtype=d), 0, d) for d in ("uint8", "float32")]

    measure(sessions, CANVAS, SIZES, rounds=3)

    assert [s.dtypes for s in sessions] == [{"uint8"}, {"float32"}]


def test_images_are_laid_on_one_canvas_for_every_model(
    contract_with: Make, tiny_session: Session, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of any size has a canvas of its own choice too, which is not what it is timed on."""
    seen: list[tuple[int, ...]] = []
    infer = Session.infer
    monkeypatch.setattr(
        Session,
        "infer",
        lambda self, images, sizes: (seen.append(images.shape), infer(self, images, sizes))[1],
    )

    masks = masks_call(tiny_session, [picture] * 2, (160, 224))()

    assert seen == [(2, 160, 224, 3)]
    assert [m.shape for m in masks] == [(3, *picture.shape[:2])] * 2


def test_each_model_resizes_images_by_its_own_rule(
    contract_with: Make, write_model: Write, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's filter takes several times as long as OpenCV's, and a model's users wait for it."""
    seen: list[np.ndarray] = []
    infer = Session.infer
    monkeypatch.setattr(
        Session, "infer", lambda self, images, sizes: (seen.append(images), infer(self, images, sizes))[1]
    )
    rules = ("torch", "pil")
    sessions = [open_session(write_model(contract=contract_with(resize=rule))) for rule in rules]
    candidates = [Candidate(Path(rule), "", one) for rule, one in zip(rules, sessions, strict=True)]

    time_batch(candidates, [picture], sessions[0].contract.canvas, rounds=3)

    laid = [preprocess([picture], session.contract.canvas).images for session in sessions]
    assert (laid[0] != laid[1]).any()
    whole = seen[len(seen) // 2 :]
    assert [np.array_equal(one, laid[0]) for one in whole] == [True, False, False, True] * 2 + [True, False]
    assert [np.array_equal(one, laid[1]) for one in whole] == [False, True, True, False] * 2 + [False, True]


def test_the_table_tells_times_in_ms_and_images_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    slow = Timing("slow", 1000, 999.94, 1234.5, 2000, speedup=1, speedup_p10=1, speedup_p90=1)
    fast = Timing("fast", 80, 75.25, 90, 99.9, speedup=12.5, speedup_p10=11, speedup_p90=14)

    print_timings([slow, fast], "as if", images=4)

    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.split()[1:]]
    assert ["slow", "1000", "999.9–1234", "2000", "4.0", "1.00×", "1.00–1.00"] in rows
    assert ["fast", "80.0", "75.2–90.0", "99.9", "50.0", "12.50×", "11.00–14.00"] in rows


def test_quantiles_are_those_of_the_counted_rounds(
    contract_with: Make, clock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 11 pauses of 10 to 110 ms: the middle one, those with a tenth below and above, and 1% above."""

    class Slower(Pausing):
        def _run(self, images: np.ndarray, image_sizes: np.ndarray) -> Outputs:
            self.seconds = max(0, len(self.log) - 1) / 100
            return super()._run(images, image_sizes)

    (timing,) = measure([Slower(contract_with(), 0, "a")], CANVAS, SIZES, rounds=11)

    quantiles = (timing.median_ms, timing.p10_ms, timing.p90_ms, timing.p99_ms)
    assert quantiles == pytest.approx((60, 20, 100, 109))


@pytest.mark.parametrize(("peak", "said"), [(1_534_000_000, "1.53 GB"), (None, "could not be measured")])
def test_the_command_tells_peak_memory(
    peak: int | None,
    said: str,
    command: Run,
    tiny_onnx: Path,
    picture_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "peak_memory_bytes", lambda *_, **__: peak)
    arguments = (main, tiny_onnx, "--image", picture_file, "--rounds", 3, "--backend", "onnxruntime")
    assert f"peak memory of {tiny_onnx} (onnxruntime): {said}\n" in command(*arguments).out


def test_a_model_is_as_fast_as_itself(tiny_session: Session) -> None:
    first, second = measure([tiny_session, tiny_session], CANVAS, SIZES, rounds=31)

    assert first.speedup == 1
    assert second.speedup_p10 <= 1 <= second.speedup_p90


def test_the_command_prints_json(
    command: Run, tiny_onnx: Path, picture_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of files named as in the folder one is in."""
    monkeypatch.chdir(tiny_onnx.parent)
    tiny_onnx = Path(tiny_onnx.name)
    arguments = (main, tiny_onnx, tiny_onnx, "--image", picture_file, "--rounds", 3, "--json")
    ended = command(*arguments, "--backend", "onnxruntime", "--batch", 1, "--batch", 4)

    assert (ended.code, ended.err) == (0, "")
    facts = json.loads(ended.out)
    assert facts["rounds"] == 3
    assert [(r["canvas"], r["images"]) for r in facts["runs"]] == [("1x64x96", 1), ("4x64x96", 4)]
    for timings in (facts["runs"][0]["timings"], facts["runs"][1]["image_to_masks"]):
        assert [t["model"] for t in timings] == [f"{tiny_onnx} (onnxruntime)"] * 2
        assert timings[0]["speedup"] == 1
        assert 0 < timings[1]["median_ms"] <= timings[1]["p90_ms"] <= timings[1]["p99_ms"]
    (peak,) = facts["peak_memory_bytes"].values()
    assert 30e6 < peak < 2e9, "of Python with numpy and ONNX Runtime"


def test_every_backend_that_is_installed_is_measured(
    command: Run, tiny_onnx: Path, picture_file: Path
) -> None:
    arguments = (main, tiny_onnx, "--image", picture_file, "--rounds", 3, "--json", "--no-memory")
    facts = json.loads(command(*arguments).out)

    measured = [t["model"] for t in facts["runs"][0]["timings"]]
    assert measured == [f"{tiny_onnx} ({name})" for name in installed()]
    assert facts["peak_memory_bytes"] == {}


def test_the_command_prints_a_table_and_draws(
    command: Run, tiny_onnx: Path, picture_file: Path, tmp_path: Path
) -> None:
    arguments = (main, tiny_onnx, "--image", picture_file, "--rounds", 3, "--no-memory")
    ended = command(*arguments, "--plot", tmp_path / "a.png")

    assert ended.code == 0
    assert "3 rounds on 1x64x96, network alone" in ended.out
    assert "3 rounds on 1x64x96, from images to masks" in ended.out
    assert "1.00×" in ended.out
    assert min(read_image(tmp_path / "a.png").shape[:2]) > 100
    assert "Name it .png or .svg" in command(*arguments, "--plot", tmp_path / "a.docx").err


def test_the_canvas_is_that_of_the_fixed_model(
    command: Run, tiny_onnx: Path, write_model: Write, contract_with: Make, picture_file: Path
) -> None:
    fixed = write_model(contract=contract_with(batch=2, height_px=96, width_px=64))

    ended = command(main, tiny_onnx, fixed, "--image", picture_file, "--rounds", 3, "--json", "--no-memory")

    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["runs"][0]["canvas"] == "2x96x64"


@pytest.mark.parametrize(
    ("other", "expected", "remedy"),
    [
        (
            {"height_px": 64, "width_px": 64},
            "fixed to 64x64, others to 96x64",
            "Bench models of one canvas size together",
        ),
        ({"batch": 2}, "the model is fixed to (2, 96, 64)", "maskrt export CHECKPOINT --dynamic"),
    ],
    ids=["canvas", "batch"],
)
def test_names_models_that_share_no_canvas(
    other: dict[str, int],
    expected: str,
    remedy: str,
    command: Run,
    write_model: Write,
    contract_with: Make,
    picture_file: Path,
) -> None:
    fixed = {"batch": 1, "height_px": 96, "width_px": 64}
    one = write_model("one.onnx", contract_with(**fixed))
    two = write_model("two.onnx", contract_with(**{**fixed, **other}))

    ended = command(main, one, two, "--image", picture_file, "--rounds", 3)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"maskrt bench: {two}: ")
    assert expected in ended.err
    assert remedy in ended.err
