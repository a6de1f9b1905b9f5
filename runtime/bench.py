"""`maskrt bench`: how fast models are, measured interleaved in one process.

Machines warm up, throttle and share: measured one after the other, two equal models differ. So each round
runs every model once, and what counts is the ratio within a round.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from maskrt.runtime.backends.open import Session, open_session
from maskrt.runtime.backends.open_onnx import installed
from maskrt.runtime.commands import terminal
from maskrt.runtime.commands.cli import track
from maskrt.runtime.commands.options import Device, Threads
from maskrt.runtime.commands.program import Program
from maskrt.runtime.contract import Canvas
from maskrt.runtime.errors import ModelError
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import PLOT
from maskrt.runtime.inputs.images import find_images, read_image
from maskrt.runtime.machine.idle import await_idle
from maskrt.runtime.machine.peak_memory import peak_memory_bytes
from maskrt.runtime.preprocess import Batch, preprocess
from maskrt.runtime.reports.bench_plot import check_plot, plot_timings
from maskrt.runtime.tasks import task_of

MOST_ROUNDS = 100_000


@dataclass(frozen=True)
class Timing:
    """One model's times over all rounds, in ms, and its speed relative to the first model's."""

    model: str
    median_ms: float
    p10_ms: float
    p90_ms: float
    p99_ms: float
    speedup: float  # median over the rounds of first / this
    speedup_p10: float
    speedup_p90: float


@dataclass(frozen=True)
class Candidate:
    """A model on a backend."""

    path: Path
    backend: str  # "" where the file has but one
    session: Session

    @property
    def name(self) -> str:
        """As in the tables."""
        return f"{self.path} ({self.backend})" if self.backend else str(self.path)


@dataclass(frozen=True)
class Run:
    """Timings on one batch of `shape` (N, H, W): the network alone, and from images to masks."""

    shape: tuple[int, int, int]
    network: list[Timing]
    whole: list[Timing]

    @property
    def canvas(self) -> str:
        """NxHxW."""
        return "x".join(map(str, self.shape))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "canvas": self.canvas,
            "images": self.shape[0],
            "timings": [asdict(t) for t in self.network],
            "image_to_masks": [asdict(t) for t in self.whole],
        }


def measure(
    sessions: list[Session], images: NDArray, image_sizes: NDArray[np.float32], rounds: int
) -> list[Timing]:
    """Time `infer` of each session on the same canvas (see `interleave`)."""
    named = [(session.name, session) for session in sessions]
    return interleave([(name, infer_call(s, images, image_sizes)) for name, s in named], rounds)


def infer_call(session: Session, images: NDArray, image_sizes: NDArray[np.float32]) -> Callable[[], object]:
    """A call of `infer` on a canvas of the session's own dtype."""
    own = images.astype(session.contract.canvas.dtype, copy=False)
    return lambda: session.infer(own, image_sizes)


def masks_call(
    session: Session, images: list[NDArray[np.uint8]], sides: tuple[int, int]
) -> Callable[[], object]:
    """A call from images to full-size masks, by the session's own rules on a canvas of these sides, (height,
    width).

    Of a model that gives no masks, to boxes.
    """
    contract, task = session.contract, task_of(session.contract)
    own = replace(contract.canvas, height_px=sides[0], width_px=sides[1])

    def call() -> object:
        batch = preprocess(images, own)
        results = task.decode(session.infer(batch.images, batch.image_sizes), batch, contract)
        return [task.whole(result) for result in results]

    return call


def interleave(runs: list[tuple[str, Callable[[], object]]], rounds: int) -> list[Timing]:
    """Time named calls: two warm-up rounds of each once, then `rounds` counted ones.

    The order within a round alternates, so that none always runs on another's warm caches. Each call
    waits until no thread of the one before spins: it would take a core.
    """
    times_ms = np.zeros((rounds + 2, len(runs)))
    for i in track(range(rounds + 2), "Measuring"):
        order = range(len(runs)) if i % 2 == 0 else reversed(range(len(runs)))
        for j in order:
            await_idle()
            start = time.perf_counter()
            runs[j][1]()
            times_ms[i, j] = (time.perf_counter() - start) * 1e3
    counted = times_ms[2:]
    ratios = counted[:, :1] / counted
    return [
        Timing(
            name,
            *(float(np.quantile(counted[:, j], q)) for q in (0.5, 0.1, 0.9, 0.99)),
            *(float(np.quantile(ratios[:, j], q)) for q in (0.5, 0.1, 0.9)),
        )
        for j, (name, _) in enumerate(runs)
    ]


def print_timings(timings: list[Timing], title: str, *, images: int = 1) -> None:
    """The table a person reads; `images` a call."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE)  # lean: 80 columns leave room for the names
    table.add_column("model", overflow="fold")  # a long name on several lines, but whole
    for heading in ("median\nms", "p10–p90\nms", "p99\nms", "images\n/s", "\nspeed", "\np10–p90"):
        table.add_column(heading, justify="right", no_wrap=True)
    for t in timings:
        table.add_row(
            t.model,
            _ms(t.median_ms),
            f"{_ms(t.p10_ms)}–{_ms(t.p90_ms)}",
            _ms(t.p99_ms),
            f"{images * 1e3 / t.median_ms:.1f}",
            f"{t.speedup:.2f}×",
            f"{t.speedup_p10:.2f}–{t.speedup_p90:.2f}",
        )
    terminal.console().print(table)


def _ms(duration_ms: float) -> str:
    return f"{duration_ms:.0f}" if duration_ms >= 1000 else f"{duration_ms:.1f}"


def command(
    models: Annotated[list[Path], typer.Argument(help="Model files; the first is what others are held to")],
    image: Annotated[Path, typer.Option(help="An image to run on")],
    rounds: Annotated[int, typer.Option(min=3, max=MOST_ROUNDS, help="Counted rounds")] = 15,
    device: Device = "cpu",
    backend: Annotated[
        str, typer.Option(help="Of ONNX on the CPU: onnxruntime, openvino, openvino-bf16, or all but that")
    ] = "all",
    threads: Threads = None,
    batches: Annotated[
        list[int] | None, typer.Option("--batch", min=1, help="Images a call; may be given several times")
    ] = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory, in a process each")] = True,
    plot: Annotated[Path | None, typer.Option(help="Draw the times (.png, .svg)"), Writes(PLOT)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the timings as JSON")] = False,
) -> None:
    """Compare models and backends on one canvas, interleaved.

    Twice: the network alone, and from images to masks. The canvas is that of the first model of fixed size.

    Example: maskrt bench best.pt model.onnx --image a.jpg --batch 1 --batch 4
    """
    if plot:
        check_plot(plot)
    picture = read_image(find_images([str(image)])[0])
    candidates = [
        Candidate(
            path, name, open_session(path, device=device, backend=name or "onnxruntime", threads=threads)
        )
        for path in models
        for name in _backends(path, device, backend)
    ]
    contract = next(
        (c.session.contract for c in candidates if c.session.contract.canvas.height_px is not None),
        candidates[0].session.contract,
    )
    runs = [
        time_batch(candidates, [picture] * size, contract.canvas, rounds)
        for size in batches or [contract.batch or 1]
    ]
    peaks = {
        c.name: peak_memory_bytes(c.path, runs[0].shape, backend=c.backend or "onnxruntime", device=device)
        for c in (candidates if memory else [])
    }
    if plot:
        plot_timings({run.canvas: run.network for run in runs}, plot)
    if as_json:
        of_runs = [run.to_dict() for run in runs]
        print(json.dumps({"rounds": rounds, "runs": of_runs, "peak_memory_bytes": peaks}))
    else:
        _print(runs, peaks, rounds)


def time_batch(
    candidates: list[Candidate], images: list[NDArray[np.uint8]], canvas: Canvas, rounds: int
) -> Run:
    """Time the candidates on one batch. Raises ModelError where one is fixed to another canvas."""
    batch = preprocess(images, canvas)
    _check_canvas(candidates, batch)
    network = [(c.name, infer_call(c.session, batch.images, batch.image_sizes)) for c in candidates]
    count, height, width = batch.images.shape[:3]
    whole = [(c.name, masks_call(c.session, images, (height, width))) for c in candidates]
    return Run((count, height, width), interleave(network, rounds), interleave(whole, rounds))


def _print(runs: list[Run], peaks: dict[str, int | None], rounds: int) -> None:
    for run in runs:
        title = f"{rounds} rounds on {run.canvas}"
        print_timings(run.network, f"{title}, network alone", images=run.shape[0])
        print_timings(run.whole, f"{title}, from images to masks", images=run.shape[0])
    for name, peak in peaks.items():
        measured = f"{peak / 1e9:.2f} GB" if peak else "could not be measured"
        print(terminal.printable(f"peak memory of {name}: {measured}"))


def _backends(path: Path, device: str, backend: str) -> list[str]:
    """Which to measure a file on; one without a name where there is no choice."""
    if path.suffix != ".onnx" or device != "cpu":
        return [""]
    return (installed() or ["onnxruntime"]) if backend == "all" else [backend]


def _check_canvas(candidates: list[Candidate], batch: Batch) -> None:
    height, width = batch.images.shape[1:3]
    for candidate in candidates:
        fixed = candidate.session.contract.canvas
        if fixed.height_px not in (None, height) or fixed.width_px not in (None, width):
            raise ModelError(
                f"{candidate.path}: fixed to {fixed.height_px}x{fixed.width_px}, others to "
                f"{height}x{width}. Bench models of one canvas size together."
            )


main = Program("maskrt bench", command)

if __name__ == "__main__":
    main()
