"""The trial of hostile inputs notices what it is there for; the trial itself is `python -m benchmarks.hostile`."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import maskrt.__main__ as umbrella
from benchmarks.hostile.case import Case
from benchmarks.hostile.run import facts, judge
from benchmarks.hostile.tables import ALL
from tests.conftest import REPOSITORY

# In a program of its own: pytest's has threads by now, which do not survive a fork.
PROGRAM = """
import sys, time
from pathlib import Path
from benchmarks.hostile.case import RIGHT, Case, wrote
from benchmarks.hostile.run import main_of, run

def raises(args): raise ValueError("unforeseen")
def hangs(args): time.sleep(60)
def accepts(args): pass
def overwrites(args): Path("mine").write_text("lost"); print("no", file=sys.stderr); sys.exit(2)
def litters(args): Path(".x-1.json").write_text(""); print("no", file=sys.stderr); sys.exit(3)
def silent(args): sys.exit(2)

folder = Path(sys.argv[1])
def verdict(line, main, expected="refused", make=None):
    place = folder / str(len(list(folder.iterdir())))
    place.mkdir()
    return run(Case("test", "one", tuple(line), make, expected), place, main, limit_s=5).verdict

for main in (raises, hangs, accepts, overwrites, litters, silent):
    print(main.__name__, verdict(["doctor"], main, make=wrote("mine", "text")), sep=": ")
for line, expected in (
    (["engine", "inspect", "nothing.engine"], "refused"), (["engine", "inspect", "mine"], "refused"),
    (["engine", "--help"], "right"), (["inspect-data", "mine"], "refused"), (["engine", "sing"], "refused"),
):
    print(*line, ":", verdict(line, main_of(line[0]), expected, wrote("mine", "text")))
"""


def test_the_trial_notices_what_it_is_there_for(tmp_path: Path) -> None:
    (tmp_path / "cases").mkdir()
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    line = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "cases")]
    done = subprocess.run(line, capture_output=True, text=True, cwd=REPOSITORY, env={"PYTHONPATH": "."})
    assert done.stdout.splitlines() == [
        "raises: traceback",
        "hangs: hang",
        "accepts: exit 0",
        "overwrites: input changed",
        "litters: leftover",
        "silent: no sentence",
        "engine inspect nothing.engine : refused",
        "engine inspect mine : refused",
        "engine --help : right",
        "inspect-data mine : refused",
        "engine sing : refused",
    ], done.stderr


def test_what_is_expected_to_work_and_does_not_is_a_failure(tmp_path: Path) -> None:
    case = Case("test", "one", ("doctor",), None, "right")
    assert judge(case, 2, "doctor: no.", facts(tmp_path), facts(tmp_path)) == "not handled"


def test_there_are_hundreds_of_cases_and_every_verb_has_some() -> None:

    assert len(ALL) >= 300
    assert {case.verb for case in ALL} == set(umbrella.VERBS)
