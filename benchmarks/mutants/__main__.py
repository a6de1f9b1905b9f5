"""`python -m benchmarks.mutants --count 60 --seed 7`: how many random mutants of the code its tests notice.

It prints the test that noticed a mutant, or the mutant's diff. out/mutants.json holds the same; what it says
was noticed is not judged again. A survivor that changes no behaviour is named in equivalent.txt beside this
file, by module, function and operation, and is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import hashlib
import importlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and OpenCV are imported

from benchmarks.mutants.mutations import Mutant, mutants_of
from benchmarks.mutants.trial import Trial
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import OWN_NAME

REPOSITORY = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
#: Imported once, before the tests of each mutant run in a fork.
HEAVY = (
    "numpy",
    "cv2",
    "typer",
    "torch",
    "torchvision",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "scipy.optimize",
    "lightning.pytorch",
    "networkx",
    "openvino",
    "supervision",
    "torch._inductor.decomposition",
)
PACKAGES = ("runtime", "calibration", "export", "models")


def every_mutant(repository: Path, places: list[str]) -> list[Mutant]:
    """The mutants of all files of folders, or of single files."""
    found = []
    for place in places:
        for file in sorted((repository / place).rglob("*.py")) or [repository / place]:
            found += mutants_of(str(file.relative_to(repository)), file.read_bytes())
    return found


def sample(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """Random mutants; changes elsewhere in the code leave most of a seed's choice as it was."""
    return sorted(mutants, key=lambda one: hashlib.sha256(f"{seed} {one.key}".encode()).digest())[:count]


def equivalents(text: str) -> Iterator[str]:
    """Keys of mutants in lines `module  function  operation  reason`, two spaces between."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            yield "  ".join(line.split("  ")[:3])


def diff(mutant: Mutant, source: bytes) -> str:
    """The lines that differ."""
    old, new = (text.decode().splitlines() for text in (source, mutant.of(source)))
    lines = difflib.unified_diff(old, new, n=0, lineterm="")
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def table(rows: list[dict[str, Any]]) -> str:
    """What became of each mutant, and the share noticed of those that change behaviour."""
    lines = []
    for row in rows:
        lines.append(f"{row['verdict']:10} {row['mutant']}  {row['by'] or ''}".rstrip())
        if row["verdict"] in ("survived", "unfinished"):
            lines += [f"           {line}" for line in row["diff"].splitlines()]
    counted = [row for row in rows if row["verdict"] != "equivalent"]
    noticed = sum(row["verdict"] == "noticed" for row in counted)
    share = 100 * noticed / len(counted) if counted else 0
    return "\n".join(
        [*lines, f"{noticed} of {len(counted)} that change behaviour were noticed: {share:.0f}%"]
    )


def main() -> None:
    """Make the mutants, judge each, print the table; the report is written after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "places", nargs="*", default=PACKAGES, help="folders or files (default: all but training)"
    )
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--limit-s", type=int, default=60, help="CPU seconds of one mutant's tests")
    parser.add_argument("--afresh", action="store_true", help="judge again what the report says was noticed")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/mutants.json"))
    options = parser.parse_args()

    everything = every_mutant(REPOSITORY, list(options.places))
    chosen = sample(everything, options.count, options.seed)
    same = set(equivalents(EQUIVALENT.read_text(encoding="utf-8")))
    before = json.loads(options.output.read_text())["mutants"] if options.output.exists() else []
    survived = {row["mutant"] for row in before if row["verdict"] != "noticed"}
    known = {(row["mutant"], row["diff"]): row for row in before if row["verdict"] == "noticed"}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no tests are left running
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        trial = Trial(REPOSITORY, Path(scratch), options.limit_s, options.output.with_suffix(".costs.json"))
        changes = {one: diff(one, (trial.scratch / one.path).read_bytes()) for one in chosen}
        order = {one: ((one.key, changes[one]) not in known, one.key in survived) for one in chosen}
        for mutant in sorted(
            chosen, key=order.__getitem__
        ):  # a run that is cut short has judged a fair sample
            change = changes[mutant]
            row = {"mutant": mutant.key, "verdict": "equivalent", "by": None, "cpu_s": 0, "diff": change}
            if mutant.key not in same and (mutant.key, change) in known and not options.afresh:
                row = known[mutant.key, change]
            elif mutant.key not in same:
                verdict = trial.judge(mutant)
                outcome = "noticed" if verdict.by else "survived" if verdict.all_run else "unfinished"
                row |= {"by": verdict.by, "verdict": outcome, "cpu_s": round(verdict.cpu_s)}
            rows.append(row)
            print(table([row]).rpartition("\n")[0], flush=True)
            report = {"seed": options.seed, "count": options.count, "of": len(everything), "mutants": rows}
            write_text(options.output, json.dumps(report, indent=2, ensure_ascii=False), OWN_NAME)
    print(table(rows).rpartition("\n")[2])


if __name__ == "__main__":
    main()
