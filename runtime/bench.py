"""`maskrt bench`: how fast models are, measured interleaved in one process.

Machines warm up, throttle and share: measured one after the other, two equal models differ. So each round
runs every model once, and what counts is the ratio within a round.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from runtime.cli import run, track
from runtime.errors import ModelError
from runtime.preprocess import preprocess
from runtime.session import Session, open_session
from runtime.sources import find_images, read_image


@dataclass(frozen=True)
class Timing:
    """One model's times over all rounds, in ms, and its speed relative to the first model's."""

    model: str
    median_ms: float
    p10_ms: float
    p90_ms: float
    speedup: float  # median over the rounds of first / this
    speedup_p10: float
    speedup_p90: float


def measure(
    sessions: list[Session], images: NDArray, image_sizes: NDArray[np.float32], rounds: int
) -> list[Timing]:
    """Time `infer` of each session on the same canvas (see `interleave`)."""

    def call(session: Session) -> Callable[[], object]:
        own = images.astype(session.contract.canvas.dtype, copy=False)
        return lambda: session.infer(own, image_sizes)

    return interleave([(session.name, call(session)) for session in sessions], rounds)


def interleave(runs: list[tuple[str, Callable[[], object]]], rounds: int) -> list[Timing]:
    """Time named calls: two warm-up rounds of each once, then `rounds` counted ones.

    The order within a round alternates, so that none always runs on another's warm caches.
    """
    times_ms = np.zeros((rounds + 2, len(runs)))
    for i in track(range(rounds + 2), "Measuring"):
        order = range(len(runs)) if i % 2 == 0 else reversed(range(len(runs)))
        for j in order:
            start = time.perf_counter()
            runs[j][1]()
            times_ms[i, j] = (time.perf_counter() - start) * 1e3
    counted = times_ms[2:]
    ratios = counted[:, :1] / counted
    return [
        Timing(
            name,
            *(float(np.quantile(counted[:, j], q)) for q in (0.5, 0.1, 0.9)),
            *(float(np.quantile(ratios[:, j], q)) for q in (0.5, 0.1, 0.9)),
        )
        for j, (name, _) in enumerate(runs)
    ]


def print_timings(timings: list[Timing], title: str) -> None:
    """The table a person reads."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for heading in ("model", "median ms", "p10–p90 ms", "speed", "p10–p90"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for t in timings:
        table.add_row(
            t.model,
            f"{t.median_ms:.1f}",
            f"{t.p10_ms:.1f}–{t.p90_ms:.1f}",
            f"{t.speedup:.2f}×",
            f"{t.speedup_p10:.2f}–{t.speedup_p90:.2f}",
        )
    Console().print(table)


def command(
    models: Annotated[list[Path], typer.Argument(help="Model files; the first is what others are held to")],
    image: Annotated[Path, typer.Option(help="An image to run on")],
    rounds: Annotated[int, typer.Option(min=3, help="Counted rounds")] = 15,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the timings as JSON")] = False,
) -> None:
    """Compare models on one canvas, interleaved.

    The canvas is that of the first model of fixed size.

    Example: maskrt bench best.pt model.onnx --image a.jpg
    """
    sessions = [open_session(path, device=device) for path in models]
    contract = next(
        (s.contract for s in sessions if s.contract.canvas.height_px is not None), sessions[0].contract
    )
    batch = preprocess([read_image(find_images([str(image)])[0])] * (contract.batch or 1), contract.canvas)
    for session in sessions:
        fixed = session.contract.canvas
        if fixed.height_px not in (None, batch.images.shape[1]) or fixed.width_px not in (
            None,
            batch.images.shape[2],
        ):
            raise ModelError(
                f"{session.name}: fixed to {fixed.height_px}x{fixed.width_px}, others to "
                f"{batch.images.shape[1]}x{batch.images.shape[2]}. Bench models of one canvas size together."
            )
    timings = measure(sessions, batch.images, batch.image_sizes, rounds)
    canvas = "x".join(str(n) for n in batch.images.shape[:3])
    if as_json:
        print(json.dumps({"canvas": canvas, "rounds": rounds, "timings": [asdict(t) for t in timings]}))
    else:
        print_timings(timings, f"{rounds} rounds on {canvas}, infer alone")


def main(args: list[str] | None = None) -> None:
    """Run the command with `args` (default: those of the process)."""
    run(command, "maskrt bench", args)


if __name__ == "__main__":
    main()
