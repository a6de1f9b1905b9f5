"""Report of a check, as JSON and as the page docs/gpu-results.md."""

from __future__ import annotations

import dataclasses
import json
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gpu_check.agreement import AT_THRESHOLD, Agreement
from benchmarks.gpu_check.latency import ROUNDS, Latency
from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import OWN_NAME
from maskrt.runtime.tasks.instances.compare.tolerances import BY_PRECISION


def reason(error: Exception) -> str:
    """Why a check ended early. What nobody foresaw leaves its traceback on stderr, and the others go on."""
    if isinstance(error, MaskrtError):
        return str(error)
    traceback.print_exception(error)
    return repr(error)


@dataclass(frozen=True)
class EngineResult:
    """One form of one model. `failure`: why there is nothing else."""

    model: str
    shape: str
    precision: str
    build_s: float = 0.0
    failure: str = ""
    layers: str = ""  # by type, as TensorRT made them
    agreement: Agreement | None = None
    passed: bool = False
    latencies: dict[str, dict[str, Latency]] = field(
        default_factory=dict
    )  # CUDA graph on|off: what: how long


@dataclass(frozen=True)
class OperatorResult:
    """One operator alone, by the plugin or by its body of standard operators."""

    operator: str
    precision: str
    by: str  # "plugin" or "body"
    failure: str = ""
    worst_difference: float | None = None  # None: nothing to compare with
    passed: bool = False
    latency: Latency | None = None


@dataclass(frozen=True)
class Results:
    """All of it. `machine`: the GPU, TensorRT, and what else the figures hang on."""

    machine: dict[str, str]
    operators: list[OperatorResult]
    engines: list[EngineResult]

    @property
    def passed(self) -> bool:
        """True if everything was built, run and within its limits; the bodies are there to be compared with.

        Nothing at all is no success.
        """
        verdicts = [o.passed for o in self.operators if o.by == "plugin"] + [e.passed for e in self.engines]
        return bool(verdicts) and all(verdicts)

    def write(self, folder: Path) -> None:
        """results.json and results.md."""
        text = json.dumps({"passed": self.passed, **dataclasses.asdict(self)}, indent=1)
        write_text(folder / "results.json", text, OWN_NAME)
        write_text(folder / "results.md", self.to_markdown(), OWN_NAME)

    def to_markdown(self) -> str:
        """The tables, fit for docs/gpu-results.md."""
        facts = [f"| {name} | {value} |" for name, value in self.machine.items()]
        engines = [_engine_row(e) for e in self.engines]
        operators = [_operator_row(o) for o in self.operators]
        latencies = [row for e in self.engines for row in _latency_rows(e)]
        named = [
            f"- {e.model}, {e.shape}, {e.precision}: {name}"
            for e in self.engines
            for name in (e.agreement.at_threshold if e.agreement else ())
        ]
        return "\n".join(
            [
                "| machine | |\n|---|---|",
                *facts,
                "\n## Parity with PyTorch\n",
                " ".join(_rule(precision) for precision in BY_PRECISION),
                f"An instance within {AT_THRESHOLD.flip_score:g} of a threshold is named below and counts as "
                "none missed or extra. In INT8 random weights are not held to it. From two threads at a "
                "time.\n",
                "| model | shape | precision | build s | layers | instances | missed | extra | at a "
                "threshold | sure found | mean IoU | least IoU | points px | score ± | box ± px | |",
                "|---|---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
                *engines,
                *(["\nAt a threshold:\n", *named] if named else []),
                "\n## Operators against torchvision\n",
                f"{ROUNDS} runs on the same inputs, which are partly in the GPU's cache; timed on the GPU, "
                "as a CUDA graph where it can be captured.\n",
                "| operator | precision | by | worst difference | median ms | p99 ms | |",
                "|---|---|---|--:|--:|--:|---|",
                *operators,
                f"\n## Latency of one image\n\n{ROUNDS} calls each, copies to and from the GPU included.\n",
                "| model | shape | precision | CUDA graph | what | median ms | p99 ms |",
                "|---|---|---|---|---|--:|--:|",
                *latencies,
                "",
            ]
        )


def _verdict(result: EngineResult | OperatorResult) -> str:
    if result.failure:  # in the words of compilers and drivers, which are to stay within one cell
        return f"**{' '.join(result.failure.split()).replace('|', '/')}**"
    return "passed" if result.passed else "**failed**"


def _rule(precision: str) -> str:
    limit = BY_PRECISION[precision]
    if not limit.by_quantiles:
        return f"{precision.upper()}: the same instances, each mask IoU at least {limit.mask_iou:g}."
    return (
        f"{precision.upper()}: at least {limit.matched:.0%} of the instances above {limit.above_score:g} "
        f"found again, mean mask IoU of these at least {limit.mask_iou:g}, points {limit.keypoint_px:g} px "
        "off."
    )


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _engine_row(e: EngineResult) -> str:
    head = f"| {e.model} | {e.shape} | {e.precision} |"
    if (a := e.agreement) is None:
        return f"{head} |" + " |" * 11 + f" {_verdict(e)} |"
    figures = (
        f"{e.build_s:.0f}",
        e.layers,
        a.instances,
        a.missed,
        a.extra,
        len(a.at_threshold),
        f"{a.sure_matched} of {a.sure}",
        _number(a.mean_mask_iou, ".4f"),
        _number(a.least_mask_iou, ".4f"),
        _number(a.keypoint_px, ".2f"),
        f"{a.worst_score_difference:.2g}",
        f"{a.worst_box_difference_px:.2g}",
    )
    return f"{head} {' | '.join(map(str, figures))} | {_verdict(e)} |"


def _operator_row(o: OperatorResult) -> str:
    difference = "" if o.worst_difference is None else f"{o.worst_difference:.2g}"
    times = f"{o.latency.median_ms:.4f} | {o.latency.p99_ms:.4f}" if o.latency else " | "
    return f"| {o.operator} | {o.precision} | {o.by} | {difference} | {times} | {_verdict(o)} |"


def _latency_rows(e: EngineResult) -> list[str]:
    return [
        f"| {e.model} | {e.shape} | {e.precision} | {graph} | {what} | {t.median_ms:.2f} | {t.p99_ms:.2f} |"
        for graph, times in e.latencies.items()
        for what, t in times.items()
    ]
