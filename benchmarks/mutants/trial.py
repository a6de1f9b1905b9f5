"""Applies a mutant in a scratch copy of the repository, and runs the tests of its module there.

The tests run in a fork of this process: what it has imported before, they need not import again.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import hypothesis
import pytest

from benchmarks.mutants.mutations import Mutant
from benchmarks.mutants.selection import Imports

#: Seconds of one test: a test that never ends has failed.
TEST_LIMIT_S = 240
#: CPU seconds of a test file that no trial has run yet, and of collecting any.
UNKNOWN_COST_S, COLLECTED_S = 5.0, 1.0
#: CPU seconds and test files of one run of pytest, which imports all of them before the first test.
AT_ONCE_S, AT_ONCE = 20.0, 8
#: The variable that gives several sessions of pytest one folder of models (tests/exports.py).
EXPORTS = "MASKRT_TEST_EXPORTS"
#: A failure is enough: Hypothesis would look for the smallest example, for minutes.
UNSHRUNK = "unshrunk"
hypothesis.settings.register_profile(
    UNSHRUNK,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    database=None,
    deadline=None,
)
#: A test file one step away notices a mutant less often than one that imports the module.
COST_OF_A_STEP = 10


@dataclass(frozen=True)
class Verdict:
    """by: the test that failed, or None. all_run: False where the time ran out before every test had run.
    cpu_s: seconds that it took."""

    by: str | None
    all_run: bool
    cpu_s: float


class Trial:
    """A scratch copy of a repository, in which mutants are judged one after another.

    limit_s: CPU seconds of one mutant's tests.
    costs: a JSON file with the CPU seconds of each test file, kept up to date.
    """

    def __init__(self, repository: Path, scratch: Path, limit_s: int, costs: Path) -> None:
        self.scratch, self.limit_s, self.costs_path = scratch, limit_s, costs
        _copy(repository, scratch)
        self.imports = Imports(scratch)
        self.costs: dict[str, float] = json.loads(costs.read_text()) if costs.exists() else {}
        #: Tests that failed once → True if they fail without a mutant too.
        self.broken: dict[str, bool] = {}
        data = os.environ.get("MASKRT_DATA", repository.parent / "shared" / "data")
        os.environ |= {"MASKRT_DATA": str(data), "PYTHONPATH": str(scratch)}

    def judge(self, mutant: Mutant) -> Verdict:
        """Run the tests that name the mutant's module, cheapest first, until one fails."""
        steps = {str(file): step for file, step in self.imports.tests_of(mutant.module).items()}
        files = sorted(steps, key=lambda file: self._cost_s(file) * COST_OF_A_STEP ** steps[file])
        source, left_s = (self.scratch / mutant.path).read_bytes(), float(self.limit_s)
        exports = self.scratch / "trial.exports"
        shutil.rmtree(exports, ignore_errors=True)
        while files:
            began_s, count = _used_s(), self._at_once(files)
            self._write(mutant.path, mutant.of(source))
            failed, ended = self._run(files[:count], left_s, exports)
            self._write(mutant.path, source)
            left_s -= _used_s() - began_s
            if failed and not self._fails_without(failed):
                return Verdict(failed, True, self.limit_s - left_s)
            if not ended or left_s < 1:
                return Verdict(None, False, self.limit_s - left_s)
            files = [file for file in files if file != failed] if failed else files[count:]
        return Verdict(None, True, self.limit_s - left_s)

    def _at_once(self, files: list[str]) -> int:
        """How many of the files one run of pytest takes: at least one."""
        spent_s = list(accumulate(map(self._cost_s, files[:AT_ONCE])))
        return max(1, sum(seconds <= AT_ONCE_S for seconds in spent_s))

    def _cost_s(self, file: str) -> float:
        return COLLECTED_S + self.costs.get(file, UNKNOWN_COST_S)

    def _fails_without(self, test: str) -> bool:
        """True if a test fails on the code as it is, so that its failure says nothing of a mutant."""
        if test not in self.broken:
            self.broken[test] = self._run([test], self.limit_s, self.scratch / "trial.whole")[0] is not None
        return self.broken[test]

    def _write(self, path: str, source: bytes) -> None:
        """A new file in place of the old, whose compiled form must not outlive it."""
        (self.scratch / path).write_bytes(source)
        Path(importlib.util.cache_from_source(str(self.scratch / path))).unlink(missing_ok=True)

    def _run(self, tests: list[str], limit_s: float, exports: Path) -> tuple[str | None, bool]:
        """The first test that fails, and whether the run came to its end within the limit.

        exports: where models lie that several runs share, since they run the same code.
        """
        log = self.scratch / "trial.jsonl"
        log.write_text("")
        child = os.fork()
        if not child:
            self._in_the_child(tests, limit_s, log, exports)
        try:
            _, status = os.waitpid(child, 0)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # also what its tests have left running
        reports = [json.loads(line) for line in log.read_text().splitlines()]
        failed = next((report["test"] for report in reports if report["failed"]), None)
        code = os.waitstatus_to_exitcode(status)
        if not failed and code > 0 and code != pytest.ExitCode.NO_TESTS_COLLECTED:
            failed = tests[0]  # a conftest that cannot be imported
        cost_s = Counter[str]()
        for report in reports:
            cost_s[report["test"].split("::")[0]] += report["cpu_s"]
        for file in list(cost_s)[: None if code >= 0 and not failed else -1]:
            self.costs[file] = round(cost_s[file], 1)
        self.costs_path.write_text(json.dumps(self.costs, indent=1))
        return failed, code >= 0

    def _in_the_child(self, tests: list[str], limit_s: float, log: Path, exports: Path) -> None:
        os.setsid()
        os.environ[EXPORTS] = str(exports)
        os.chdir(self.scratch)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit_s), math.ceil(limit_s) + 1))
        for name in [name for name in sys.modules if name.split(".")[0] in ("maskrt", "benchmarks")]:
            del sys.modules[name]
        sys.path.insert(0, str(self.scratch))
        with (self.scratch / "trial.txt").open("w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        arguments = ["-x", "-q", "-m", "not full and not gpu", "-p", "no:cacheprovider", "-o", "addopts="]
        arguments += ["--timeout", str(TEST_LIMIT_S), "--hypothesis-profile", UNSHRUNK]
        arguments += [f"--basetemp={self.scratch / 'tmp'}"]
        arguments += [f"--deselect={test}" for test, fails in self.broken.items() if fails]
        code = 1
        try:
            code = int(pytest.main([*arguments, *tests], [_Log(log)]))
        finally:
            os._exit(code)


class _Log:
    """A plugin of pytest: files run in the order of the command line; a line is written for each test."""

    def __init__(self, path: Path) -> None:
        self.path, self.used_s = path, _used_s()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        order = {argument.split("::")[0]: i for i, argument in enumerate(config.args)}
        items.sort(key=lambda item: order[item.nodeid.split("::")[0]])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._write(report.nodeid, report.failed)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(report.nodeid, True)

    def _write(self, test: str, failed: bool) -> None:
        before_s, self.used_s = self.used_s, _used_s()
        with self.path.open("a") as file:
            print(json.dumps({"test": test, "failed": failed, "cpu_s": self.used_s - before_s}), file=file)


def _used_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _copy(repository: Path, scratch: Path) -> None:
    """The files that git lists or would add, links as links."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (repository / name).is_symlink() or (repository / name).exists():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, scratch / name, follow_symlinks=False)
