"""`maskrt parity bisect`: which layers of a model in reduced precision must go back to float32 for parity."""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import onnx
import typer
from onnx import ModelProto

from maskrt.calibration.decide.candidate import check_made_alike, put_contract, read_model
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import FLOAT, INT8, Plan
from maskrt.calibration.measure.images import CalibrationImage, find
from maskrt.calibration.rewrite.equalise import EQUALISED, EqualiseLayers
from maskrt.calibration.rewrite.restore import reduced_units, return_to_float32
from maskrt.runtime.commands import terminal
from maskrt.runtime.commands.cli import say, track
from maskrt.runtime.errors import ModelError, ParityError
from maskrt.runtime.files.atomic import atomic_path, write_text
from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import ONNX, PARITY_REPORT, PRECISION_PLAN
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.parity.judge import Expected, expect, judge
from maskrt.runtime.parity.options import Limits
from maskrt.runtime.parity.report import Report
from maskrt.runtime.parity.sides import comparison_for, open_looking
from maskrt.runtime.preprocess import Batch, preprocess

FLOAT_KEY = {"int8": "float_layers", "fp16": "float32_units"}  # in a contract's precision_details
WANTED = 16  # images by default; every trial runs over all of them


def smallest(units: list[str], passes: Callable[[list[str]], bool]) -> list[str]:
    """Find a minimal set of units that must be put back for `passes` to hold: none of them can be left out.

    Assumes that a set that passes still passes with one more unit, and that all units together pass.
    Bisection finds the shortest prefix of the list that passes; its last unit is kept, and the search goes on
    before it until the kept units pass alone. For k units found of n that takes at most k·(⌈log2 n⌉ + 1) + 1
    calls. If there are several minimal sets, the one of the earliest units is found.
    """
    kept: list[str] = []
    while not passes(kept):
        short, enough = 0, len(units)  # the beginning of this length fails, of that passes
        while enough - short > 1:
            middle = (short + enough) // 2
            if passes(units[:middle] + kept):
                enough = middle
            else:
                short = middle
        kept = [units[enough - 1], *kept]
        units = units[: enough - 1]
    return kept


@dataclass(frozen=True)
class Trial:
    """One trial: the units that were in float32, and why the candidate failed parity; empty if it passed.

    undecided: where it passed, a figure beyond its limit by what may be chance.
    """

    float32: list[str]
    failures: list[str]
    undecided: str


class Trials:
    """Compares a candidate, some of its units in float32, with the reference, which runs once."""

    def __init__(
        self, reference: Path, candidate: Path, images: list[CalibrationImage], limits: Limits
    ) -> None:
        """Raises ModelError where a file is none of maskrt's, or of another precision than expected."""
        self.source, contract = read_model(reference, "fp32")
        if candidate.suffix != ".onnx":
            raise ModelError(
                f"{candidate}: only an ONNX file can be bisected. Give the one that it was built from."
            )
        self.model, self.contract = read_model(candidate, *FLOAT_KEY)
        check_made_alike(candidate, self.contract, reference, contract)
        if self.contract.precision.details.get(EQUALISED):
            EqualiseLayers()(self.source)  # what goes back to float32 has its neighbours' factors
        self.units = reduced_units(self.model)
        if not self.units:
            raise ModelError(f"{candidate}: nothing in it is in {self.contract.precision.name}.")
        self.done: list[Trial] = []
        self._images: list[tuple[str, Batch, Expected]] = []
        session, as_it_is = open_looking(reference, "cpu"), open_looking(candidate, "cpu")
        self._sides, self._limits = (session, as_it_is), limits
        look = session.has_stages and as_it_is.has_stages
        for image in track(images, "Float32 model"):
            batch = preprocess([image.read()], self.contract.canvas)
            self._images.append((image.name, batch, _sampled(expect(session, batch, look=look))))

    def restored(self, units: list[str]) -> ModelProto:
        """The candidate with `units` in float32."""
        return return_to_float32(self.model, self.source, units)

    def passes(self, units: list[str]) -> bool:
        """True if the candidate with `units` in float32 passes parity. The trial is appended to `done`."""
        title = f"Trial {len(self.done) + 1}: {len(units)} of {len(self.units)} in float32"
        report = Report(comparison_for(*self._sides, limits=self._limits))
        broken: list[str] = []
        with tempfile.TemporaryDirectory() as folder:  # ONNX Runtime's limit of 2 GB is of models in memory
            path = Path(folder) / "trial.onnx"
            onnx.save_model(self.restored(units), path)
            session = open_looking(path, "cpu")
            for name, batch, expected in track(self._images, title):
                try:
                    judge(name, batch, expected, session, report)
                except ModelError as error:  # NaN or infinity in an output
                    broken.append(str(error).replace(str(path), name))
                    break
        nothing = [report.results.undecided] if report.results.undecided else []
        failures = broken or report.failures or nothing
        self.done.append(Trial(units, failures, "" if failures else report.undecided))
        return not failures


def _sampled(expected: Expected) -> Expected:
    """Keep samples of the stages, as a bundle does: the expectations of all images stay in memory."""
    inside = expected.contract.inside
    samples = expected.samples and {
        k: Sample.drawn(inside.tap(k).kind, v.values) for k, v in expected.samples.items()
    }
    return dataclasses.replace(expected, samples=samples)


def plan_of(trials: Trials, float32: list[str]) -> Plan:
    """The plan of an INT8 file with layers back in float, as `maskrt calibrate --plan` takes it."""
    details = trials.contract.precision.details
    in_int8 = set(trials.units) - set(float32)
    groups = Graph.of(trials.source).groups
    return Plan(
        details["flavour"],
        details.get("method", "percentile"),
        {group: {n: INT8 if n in in_int8 else FLOAT for n in names} for group, names in groups.items()},
    )


def mended(trials: Trials, float32: list[str]) -> ModelProto:
    """The candidate with layers in float32, and with a contract that lists them."""
    model, key = trials.restored(float32), FLOAT_KEY[trials.contract.precision.name]
    details = trials.contract.precision.details
    details = {**details, key: [*details.get(key, []), *float32]}
    put_contract(model, trials.contract.in_precision(trials.contract.precision.name, details))
    return model


def search(trials: Trials, candidate: Path, compare: str) -> list[str]:
    """The units that must go back to float32. Raises ParityError where the model fails even with all of them.

    compare: the command that shows where the models differ, for that message.
    """
    count, precision = len(trials.units), trials.contract.precision.name
    each = math.ceil(math.log2(count)) + 1
    say(f"{count} units in {precision}; about {each} trials for each that must go back")
    if not trials.passes(trials.units):
        raise ParityError(
            f"{candidate}: fails with everything in float32 too ({trials.done[-1].failures[0]}), so its "
            f"precision is not the cause. See where it differs: {compare}"
        )
    return smallest(trials.units, trials.passes)


def command(
    reference: Annotated[Path, typer.Argument(help="The FP32 export of the same checkpoint (.onnx)")],
    candidate: Annotated[Path, typer.Argument(help="The FP16 or INT8 file that fails (.onnx)")],
    inputs: Annotated[str, typer.Argument(help="Images on which it fails: file, folder or glob")],
    max_images: Annotated[
        int, typer.Option(metavar="N", help="How many of them to take, evenly spread")
    ] = WANTED,
    *,
    limits: Limits,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the findings (JSON)"), Writes(PARITY_REPORT)
    ] = None,
    mend: Annotated[
        Path | None, typer.Option("--mended", help="Write the model that passes"), Writes(ONNX)
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="INT8: write the plan for maskrt calibrate --plan (.json)"),
        Writes(PRECISION_PLAN),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found on stdout")] = False,
) -> None:
    """Find the layers of a model in FP16 or INT8 that must go back to float32 for parity.

    Every layer named is needed: with any of them left as it was, the model fails. Exit code 0 where they were
    found, 1 where the model fails even with all layers in float32.

    Example: maskrt parity bisect model.onnx model.int8.onnx val/ --mended mended.onnx --plan mended.plan.json
    """
    trials = Trials(reference, candidate, find(inputs, max_images), limits)
    precision = trials.contract.precision.name
    if plan and precision != "int8":
        raise ParityError(
            f"--plan {plan}: a plan is of an INT8 file, {candidate} is {precision}. Take --mended."
        )
    found = search(trials, candidate, f"maskrt parity {reference} {candidate} {inputs}")
    if mend:
        with atomic_path(mend, ONNX) as temporary:
            onnx.save_model(mended(trials, found), temporary)
    if plan:
        plan_of(trials, found).write(plan)
    facts = {
        "reference": str(reference),
        "candidate": str(candidate),
        "precision": precision,
        "units": len(trials.units),
        "float32": found,
        "trials": [dataclasses.asdict(trial) for trial in trials.done],
    }
    if output:
        write_text(output, json.dumps(facts, indent=1), PARITY_REPORT)
    if as_json:
        print(json.dumps(facts))
    else:
        _print(facts)


def _print(facts: dict[str, Any]) -> None:
    from rich.table import Table

    found, console = facts["float32"], terminal.console()
    if not found:
        undecided = facts["trials"][-1]["undecided"]
        told = f"nothing has to go back, but {undecided}" if undecided else "nothing has to go back."
        console.print(f"{facts['candidate']}: passes as it is; {told}", highlight=False)
        return
    console.print(
        f"{len(found)} of {facts['units']} must go back to float32: {', '.join(found)}", highlight=False
    )
    table = Table(title=f"{len(facts['trials'])} trials")
    table.add_column("in float32")
    table.add_column("verdict", no_wrap=True, overflow="ellipsis")
    for trial in facts["trials"]:
        names, undecided = trial["float32"], trial["undecided"]
        short = ", ".join(names) if len(names) <= len(found) else f"{len(names)} of {facts['units']}"
        passed = f"passed, undecided: {undecided}" if undecided else "passed"
        table.add_row(short or "none", (trial["failures"] or [passed])[0])
    console.print(table)
