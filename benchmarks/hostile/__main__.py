"""`python -m benchmarks.hostile [-k TEXT]`: the trial of hostile inputs; exit code 1 where one fails."""

from __future__ import annotations

import argparse
import importlib
import os
import random
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "COLUMNS"):
    os.environ.setdefault(_variable, "200" if _variable == "COLUMNS" else "1")

import maskrt.__main__ as umbrella  # noqa: E402
from benchmarks.hostile.case import Case  # noqa: E402  the libraries read these when they are loaded
from benchmarks.hostile.run import LIMIT_S, OK, Outcome, main_of, run  # noqa: E402
from benchmarks.hostile.shared import lay_out, make_large, make_small  # noqa: E402
from benchmarks.hostile.tables import ALL  # noqa: E402
from maskrt.runtime.commands.cli import say  # noqa: E402

PRELOADED = ("torchvision", "onnx", "onnxruntime", "lightning", "scipy.optimize", "PIL.Image", "yaml")


def trial(chosen: Sequence[Case], folder: Path, jobs: int, limit_s: float) -> list[Outcome]:
    """Run all; the shared files are made in a process of their own, since threads do not survive a fork."""
    shared = folder / "shared"
    shared.mkdir()
    make_small(shared)
    pid = os.fork()
    if pid == 0:
        try:
            make_large(shared)
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise SystemExit("the shared models could not be made; see above")

    def one(numbered: tuple[int, Case]) -> Outcome:
        number, case = numbered
        place = folder / f"{number}" / "case"
        lay_out(shared, place)
        outcome = run(case, place, main_of(case.verb), limit_s)
        if outcome.verdict not in OK:
            say(f"{describe(outcome)}\n")
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, enumerate(chosen)))


def describe(outcome: Outcome) -> str:
    """A failure: what was run, and the end of what it said."""
    case = outcome.case
    said = "\n".join("    " + line for line in outcome.said.strip().splitlines()[-6:])
    return (
        f"{outcome.verdict}: {case.kind} {case.name}: maskrt {' '.join(map(repr, case.line))} (exit code "
        f"{outcome.code}, {outcome.seconds:.1f} s, {outcome.memory_bytes >> 20} MiB)\n{said[-1500:]}"
    )


def table(outcomes: Sequence[Outcome], by: str) -> str:
    """Markdown: how many of each verb, or kind, ended how."""
    verdicts = [*OK, *sorted({o.verdict for o in outcomes} - set(OK))]
    counts = Counter((getattr(o.case, by), o.verdict) for o in outcomes)
    rows = sorted({getattr(o.case, by) for o in outcomes})
    lines = [f"| {by} | cases | {' | '.join(verdicts)} |", "|---" * (len(verdicts) + 2) + "|"]
    for row in [*rows, "**all**"]:
        shown = [sum(n for (r, v), n in counts.items() if v == verdict and row in (r, "**all**"))
                 for verdict in verdicts]  # fmt: skip
        lines.append(f"| {row} | {sum(shown)} | {' | '.join(map(str, shown))} |")
    return "\n".join(lines)


def main() -> None:
    """Run the trial, print its tables and its failures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("-k", default="", help="run only cases with this text in their kind, name or line")
    parser.add_argument("--count", type=int, help="run that many alone, of all kinds")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="of one case")
    arguments = parser.parse_args()
    chosen = [case for case in ALL if arguments.k in f"{case.kind} {case.name} {' '.join(case.line)}"]
    random.Random(0).shuffle(chosen)  # the slow ones of a kind apart from each other
    chosen = chosen[: arguments.count]
    for name in (*PRELOADED, *(module for module, _ in umbrella.VERBS.values())):
        importlib.import_module(name)
    with TemporaryDirectory() as folder:
        outcomes = trial(chosen, Path(folder), arguments.jobs, arguments.limit_s)
    failures = [outcome for outcome in outcomes if outcome.verdict not in OK]
    print(table(outcomes, "verb"), table(outcomes, "kind"), sep="\n\n")
    print(f"\n{len(failures)} of {len(outcomes)} failed")
    for outcome in failures:
        print(describe(outcome))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
