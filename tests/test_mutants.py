"""The trial of random mutants: what is mutated, which tests judge it, and what is called noticed."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.mutants.__main__ import EQUIVALENT, PACKAGES, REPOSITORY, equivalents, every_mutant, table
from benchmarks.mutants.mutations import mutants_of
from benchmarks.mutants.selection import Imports
from benchmarks.mutants.trial import Trial

AREA = '''"""Areas."""

def area(width, height):
    """Of a box with 1 border."""
    if width < 0 or height < 0:
        raise ValueError(f"{width + 1} or {height} is below 0")
    return width * height
'''


def changes(source: str) -> list[str]:
    """Operation and mutated line of each mutant of a line."""
    return [
        f"{one.operation}: {one.of(source.encode()).decode()}" for one in mutants_of("a.py", source.encode())
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b == c", ["< → <=: a <= b == c", "== → !=: a < b != c"]),
        ("a not  in b", ["not in → in: a in b"]),
        ("a or (b)or c", ["or → and: a and (b)or c", "or → and #2: a or (b)and c"]),
        ("(ä - 2) // x", ["// → *: (ä - 2) * x", "- → +: (ä + 2) // x", "2 → 3: (ä - 3) // x"]),
        ("x = 0.5 if y else True", [
            "condition → not: x = 0.5 if (not (y)) else True", "0.5 → 1.0: x = 1.0 if y else True",
            "True → False: x = 0.5 if y else False",
        ]),
        ("[a for a in b if a.c]", ["condition → not: [a for a in b if (not (a.c))]"]),
    ],
)  # fmt: skip
def test_operators_constants_and_conditions_are_changed(source: str, expected: list[str]) -> None:
    assert sorted(changes(source)) == sorted(expected)


@pytest.mark.parametrize(
    "source",
    [
        '"""One text, 1 < 2."""',
        'f"{a + 1} of {b}"',
        '"a" + b',
        "if TYPE_CHECKING:\n    a = 1",
        'if __name__ == "__main__":\n    a(1)',
        "def a(b: int | None) -> c | d: ...",
        "@cache(maxsize=1)\ndef a(): ...",
        "a: Annotated[int, 1 + 2]",
        "Side: TypeAlias = int | str",
        "assert a > 1",
        "zip(a, b, strict=True)",
    ],
)
def test_what_changes_no_behaviour_is_left_as_it_is(source: str) -> None:
    assert changes(source) == []


def test_a_mutant_is_named_by_its_function_whatever_line_it_is_on() -> None:
    source = "class A:\n    def b(self):\n        return 1 - c - d\n"
    keys = [one.key for one in mutants_of("runtime/a.py", source.encode())]

    assert keys == [f"maskrt.runtime.a  A.b  {what}" for what in ("- → +", "- → + #2", "1 → 2")]
    assert keys == [one.key for one in mutants_of("runtime/a.py", b"import x\n\n\n" + source.encode())]


def test_every_mutant_of_the_code_is_python_and_every_equivalent_names_one() -> None:
    mutants = every_mutant(REPOSITORY, list(PACKAGES))
    sources = {one.path: (REPOSITORY / one.path).read_bytes() for one in mutants}
    for one in mutants[::200]:
        ast.parse(one.of(sources[one.path]))

    assert set(equivalents(EQUIVALENT.read_text(encoding="utf-8"))) <= {one.key for one in mutants}


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """A trial sets variables for the tests that it runs: they end with the trial's own test."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two modules and their tests, as a work tree of git."""
    files = {
        "runtime/__init__.py": "from maskrt.runtime.area import area",
        "runtime/area.py": AREA,
        "runtime/report.py": "from maskrt.runtime import area\ndef report():\n    return f'{area(2, 3)} px'",
        "maskrt/__init__.py": "",
        "tests/test_area.py": "from maskrt.runtime import area\ndef test_a():\n    assert area(2, 3) == 6",
        "tests/test_report.py": "import maskrt.runtime.report as r\ndef test_r():\n    assert 'px' in r.report()",
        "runtime/found/by_name.py": "def found(): ...",
        "runtime/table.py": "PLACES = {'one': 'maskrt.runtime.found'}",
        "tests/test_table.py": "import maskrt.runtime.table\ndef test_t(): ...",
        "tests/test_other.py": "def test_other():\n    assert False",
    }
    for name, text in files.items():
        path = tmp_path / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "repository/maskrt/runtime").symlink_to("../runtime")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "repository", check=True)
    return tmp_path / "repository"


def test_tests_are_found_by_what_they_import(repository: Path) -> None:
    imports = Imports(repository)

    assert imports.tests_of("maskrt.runtime.area") == {
        Path("tests/test_area.py"): 0,
        Path("tests/test_report.py"): 1,
    }
    assert imports.tests_of("maskrt.runtime.found.by_name") == {Path("tests/test_table.py"): 1}
    assert imports.tests_of("maskrt.runtime.report") == {Path("tests/test_report.py"): 0}


def test_a_mutant_is_noticed_by_the_test_that_fails_and_the_work_tree_stays(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "tests/test_report.py").write_text(
        "import maskrt.runtime.report\ndef test_r():\n    assert False"
    )
    trial = Trial(repository, tmp_path / "scratch", limit_s=60, costs=tmp_path / "costs.json")
    verdicts = {
        one.operation: trial.judge(one).by
        for one in mutants_of("runtime/area.py", AREA.encode())
        if one.operation in ("* → /", "< → <=")
    }

    assert verdicts == {"* → /": "tests/test_area.py::test_a", "< → <=": None}, (
        "test_r fails without a mutant too"
    )
    assert (repository / "runtime/area.py").read_text() == AREA
    assert (tmp_path / "scratch/maskrt/runtime").is_symlink()


DRAWN = """
from hypothesis import given, settings, strategies as st
from maskrt.runtime import area

@settings(max_examples=50)
@given(st.lists(st.integers(5, 10**9), min_size=30, max_size=60))
def test_a(sides):
    wrong = [side for side in sides if area(side, 2) != 2 * side]
    with open("failed.txt", "a") as failed:
        failed.write("once more\\n" if wrong else "")
    assert not wrong
"""


def test_no_smaller_example_is_looked_for_where_one_fails(repository: Path, tmp_path: Path) -> None:
    """It takes Hypothesis up to five minutes of a mutant's time."""
    (repository / "tests/test_area.py").write_text(DRAWN)
    trial = Trial(repository, tmp_path / "scratch", limit_s=60, costs=tmp_path / "costs.json")
    (divided,) = [one for one in mutants_of("runtime/area.py", AREA.encode()) if one.operation == "* → /"]

    assert trial.judge(divided).by == "tests/test_area.py::test_a"
    assert len((tmp_path / "scratch/failed.txt").read_text().splitlines()) < 10


def test_a_module_that_no_longer_imports_is_noticed(repository: Path, tmp_path: Path) -> None:
    """Where a conftest imports it too, pytest ends before any test."""
    (repository / "tests/conftest.py").write_text("import maskrt.runtime.area\n")
    source = "NAMES = [1] * 2\n"
    (repository / "runtime/area.py").write_text(source + AREA)
    trial = Trial(repository, tmp_path / "scratch", limit_s=60, costs=tmp_path / "costs.json")
    (divided,) = [one for one in mutants_of("runtime/area.py", source.encode()) if one.operation == "* → /"]

    assert trial.judge(divided).by == "tests/test_area.py"


def test_the_share_is_of_those_that_change_behaviour() -> None:
    row = {"mutant": "m  f  < → <=", "by": None, "diff": "-a\n+b"}
    rows = [
        row | {"verdict": verdict}
        for verdict in ("noticed", "noticed", "survived", "equivalent", "unfinished")
    ]

    assert table(rows).splitlines()[-1] == "2 of 4 that change behaviour were noticed: 50%"
