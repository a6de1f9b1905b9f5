"""Where the time of a run goes: seconds by step, and a trace in microseconds."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from maskrt.runtime.pipeline.stopwatch import Spent, Stopwatch


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock, which stands still but where a test moves it."""
    now = [1000.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def pass_time(watch: Stopwatch, now_s: list[float], stage: str, for_s: float, images: int = 1) -> None:
    with watch.measure(stage, images):
        now_s[0] += for_s


def test_steps_add_up_to_milliseconds_an_image(now_s: list[float]) -> None:
    watch = Stopwatch()
    pass_time(watch, now_s, "infer", 0.5, images=4)
    pass_time(watch, now_s, "write", 0.25)
    pass_time(watch, now_s, "infer", 0.125, images=1)

    assert watch.spent == {"infer": (0.625, 5), "write": (0.25, 1)}
    assert list(watch.per_image_ms().items()) == [("infer", 125.0), ("write", 250.0)]


def test_a_step_without_images_has_its_whole_time(now_s: list[float]) -> None:
    watch = Stopwatch()
    pass_time(watch, now_s, "decode", 0.5, images=0)
    assert watch.per_image_ms() == {"decode": 500.0}


def test_measurements_of_another_are_added(now_s: list[float]) -> None:
    watch = Stopwatch()
    pass_time(watch, now_s, "infer", 0.5)
    watch.add(Spent({"infer": (1.5, 3), "draw": (0.25, 1)}))
    assert watch.spent == {"infer": (2.0, 4), "draw": (0.25, 1)}


def test_a_trace_has_microseconds_since_its_beginning(now_s: list[float], tmp_path: Path) -> None:
    watch = Stopwatch(tmp_path / "trace.json")
    now_s[0] += 2
    pass_time(watch, now_s, "infer", 0.5)
    pass_time(watch, now_s, "write", 0.25)
    watch.close()

    name, *events = json.loads((tmp_path / "trace.json").read_text())
    here = {"pid": os.getpid(), "tid": 1}
    assert name == {
        "name": "thread_name",
        "ph": "M",
        "args": {"name": threading.current_thread().name},
        **here,
    }
    assert events == [
        {"name": "infer", "ph": "X", "ts": 2_000_000, "dur": 500_000, **here},
        {"name": "write", "ph": "X", "ts": 2_500_000, "dur": 250_000, **here},
    ]


def test_threads_of_a_trace_have_numbers_from_1(now_s: list[float], tmp_path: Path) -> None:
    watch = Stopwatch(tmp_path / "trace.json")
    for name in ("decode", "infer"):
        thread = threading.Thread(target=pass_time, args=(watch, now_s, name, 0.5), name=f"to {name}")
        thread.start()
        thread.join()
    watch.close()

    events = json.loads((tmp_path / "trace.json").read_text())
    names = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    assert names in ({1: "to decode", 2: "to infer"}, {1: "to decode"}), "a system may give one ident twice"


def test_a_trace_of_nothing_is_an_empty_list(tmp_path: Path) -> None:
    Stopwatch(tmp_path / "trace.json").close()
    assert json.loads((tmp_path / "trace.json").read_text()) == []
