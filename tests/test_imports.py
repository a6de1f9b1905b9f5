"""Who may import whom (docs/architecture.md): the runtime runs on a Jetson, where there is no torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskrt.models import FAMILIES

REPOSITORY = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "runtime": set(),
    "models": {"runtime"},
    "training": {"runtime", "models"},
    "export": {"runtime", "models"},
    "calibration": {"runtime"},
}
PACKAGES = set(MAY_IMPORT)
#: `maskrt demo` is a tour through all of them, by their programs.
TOUR = REPOSITORY / "export" / "demo.py"
HEAVY = (
    "torch",
    "torchvision",
    "lightning",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "scipy",
    "PIL",
)


def files(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def module_name(file: Path) -> str:
    """The module of a file of the repository: `maskrt.runtime.infer`."""
    name = ".".join(("maskrt", *file.relative_to(REPOSITORY).with_suffix("").parts))
    return name.removesuffix(".__init__")


def statements(file: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements that are run, inside functions too; those for the type checker alone are not."""
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        waiting += ast.iter_child_nodes(node)


def imported(file: Path) -> set[str]:
    """Every module, or name of a module, that a file imports."""
    names: set[str] = set()
    for node in statements(file):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, f"{file}: relative import; files here are run as scripts"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_packages_import_only_what_they_may(package: str) -> None:
    for file in files(package):
        names = imported(file)
        by_their_folder = {name for name in names if name.split(".")[0] in PACKAGES}
        assert not by_their_folder, f"{file.relative_to(REPOSITORY)}: import maskrt.{min(by_their_folder)}"
        siblings = {name.split(".")[1] for name in names if name.startswith("maskrt.")} & PACKAGES - {package}
        assert siblings <= MAY_IMPORT[package] or file == TOUR, (
            f"{file.relative_to(REPOSITORY)} imports {siblings}"
        )


def graph(sources: dict[str, set[str]]) -> dict[str, set[str]]:
    """Modules → the modules of the same project that they import, from the names in their statements."""

    def module_of(name: str) -> str:
        return name if name in sources else name.rpartition(".")[0]

    return {
        module: {module_of(name) for name in names} & sources.keys() - {module}
        for module, names in sources.items()
    }


def circle(edges: dict[str, set[str]]) -> list[str]:
    """The modules of one import circle, in order; empty where there is none."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        for target in sorted(edges[module]):
            if found := visit(target, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(edges) if (found := visit(module, []))), [])


def test_no_modules_import_each_other_in_a_circle() -> None:
    sources = {module_name(file): imported(file) for package in PACKAGES for file in files(package)}

    assert circle(graph(sources)) == []


def test_a_circle_is_found_when_there_is_one() -> None:
    closed = {"a": {"b.name"}, "b": {"c"}, "c": {"a.other", "json"}, "d": {"a"}}

    assert circle(graph(closed)) == ["a", "b", "c"]
    assert circle(graph(closed | {"c": {"json"}})) == []


def test_the_runtime_never_imports_torch() -> None:
    for file in files("runtime"):
        roots = {name.split(".")[0] for name in imported(file)}
        assert not roots & {"torch", "torchvision", "onnx", "onnxscript"}, file


TASK_FOLDERS = sorted(path.parent.name for path in (REPOSITORY / "runtime" / "tasks").glob("*/task.py"))


def tasks_imported(names: set[str], own: str = "") -> set[str]:
    """The tasks that names of imports belong to, but for a file's own."""
    return {task for task in TASK_FOLDERS if task != own for name in names if f"runtime.tasks.{task}" in name}


def test_the_runtime_reaches_a_task_through_its_contract_alone() -> None:
    for file in files("runtime"):
        place = file.relative_to(REPOSITORY / "runtime").parts
        own = place[1] if place[0] == "tasks" else ""
        assert not tasks_imported(imported(file), own), file.relative_to(REPOSITORY)


def test_a_file_that_knows_a_task_would_be_found() -> None:
    names = imported(REPOSITORY / "runtime" / "tasks" / "instances" / "task.py")

    assert tasks_imported(names) == {"instances"}
    assert tasks_imported(names, own="instances") == set()


def test_a_task_knows_nothing_of_parity() -> None:
    for file in (REPOSITORY / "runtime" / "tasks").rglob("*.py"):
        assert not {name for name in imported(file) if name.startswith("maskrt.runtime.parity")}, file


def folder_of(package: str) -> Path:
    """The folder of a package, which is below the import name: maskrt.models.rcnn → models/rcnn."""
    return REPOSITORY.joinpath(*package.split(".")[1:])


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)


BLOCK = f"""
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ImportError(f"blocked: {{name}}", name=name)
sys.meta_path.insert(0, Block())
"""


def test_every_runtime_module_imports_without_the_heavy_packages() -> None:
    modules = [module_name(file) for file in files("runtime")]
    each_afresh = f"""{BLOCK}
import importlib
for module in {modules!r}:
    for name in [name for name in sys.modules if name.startswith("maskrt")]:
        del sys.modules[name]
    try:
        importlib.import_module(module)
    except ImportError as error:
        print(module, error)
"""
    done = python(each_afresh)

    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_what_families_know_for_parity_needs_no_torch() -> None:
    """`maskrt parity check` names causes on a machine that has numpy and a backend alone."""
    every_family = """
from types import SimpleNamespace
from maskrt.models import FAMILIES
from maskrt.models.parity import knowledge_of
print([name for name in FAMILIES if knowledge_of(SimpleNamespace(family=name)) is not None])
"""
    done = python(f"{BLOCK}{every_family}")

    knowing = [name for name, package in FAMILIES.items() if (folder_of(package) / "parity").is_dir()]
    assert knowing, "no family has a package parity"
    assert (done.returncode, done.stdout) == (0, f"{knowing}\n"), done.stderr


def any_of(families: dict[str, str]) -> re.Pattern[str]:
    """What finds a family's name, or its package, as a word: a family `net` is not in `network`."""
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, {*families, *families.values()}))})\b|\bMaskRcnn")


def test_no_family_is_named_outside_models() -> None:
    """A family costs a folder and a line of FAMILIES: nothing else knows which there are."""
    names = any_of(FAMILIES)
    naming = {
        str(file.relative_to(REPOSITORY))
        for package in sorted(PACKAGES - {"models"})
        for file in files(package)
        if names.search(file.read_text(encoding="utf-8"))
    }
    assert naming == set()


def test_a_family_is_named_by_a_word_of_its_own() -> None:
    names = any_of({"net": "maskrt.models.net"})

    assert not names.search("network, subnet and maskrt.models.network")
    assert names.search('family == "net"')
    assert names.search("import maskrt.models.net.config")


def test_the_blocker_blocks() -> None:
    assert "blocked: torch" in python(f"{BLOCK}\nimport maskrt.models.rcnn.reference.network").stderr


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_no_file_shadows_a_module_when_run_as_a_script(package: str) -> None:
    taken = sys.stdlib_module_names | PACKAGES | {"onnx", "cuda", "tensorrt", "numpy", "torch"}
    beside = {p.stem for p in (REPOSITORY / package).glob("*.py")} | {
        p.name for p in (REPOSITORY / package).iterdir() if any(p.glob("*.py"))
    }
    assert not beside & taken


def test_other_folders_of_these_names_are_no_hindrance(tmp_path: Path) -> None:
    """A user's project may have a runtime/ and a training/ of its own."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise ImportError('a stranger of the same name')")

    code = "import maskrt.runtime.infer, maskrt.training.config; print(maskrt.load.__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)

    assert (done.returncode, done.stdout.strip()) == (0, "maskrt.runtime.predictor"), done.stderr
