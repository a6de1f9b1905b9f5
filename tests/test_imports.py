"""Who may import whom (docs/architecture.md): the runtime runs on a Jetson, where there is no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from maskrt import VERBS

REPOSITORY = Path(__file__).resolve().parents[1]
STAGES = {"training", "export", "calibration", "runtime"}
MAY_IMPORT = {
    "runtime": set(),
    "training": {"runtime"},
    "export": {"runtime", "training"},
    "calibration": {"runtime"},
}
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


def imported(file: Path) -> set[str]:
    """Every module named by an import statement anywhere in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import; files here are run as scripts"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_stages_import_only_what_they_may(stage: str) -> None:
    for file in (REPOSITORY / stage).rglob("*.py"):
        siblings = {name.split(".")[0] for name in imported(file)} & STAGES - {stage}
        assert siblings <= MAY_IMPORT[stage], f"{file.relative_to(REPOSITORY)} imports {siblings}"


def test_the_runtime_never_imports_torch() -> None:
    for file in (REPOSITORY / "runtime").rglob("*.py"):
        roots = {name.split(".")[0] for name in imported(file)}
        assert not roots & {"torch", "torchvision", "onnx", "onnxscript"}, file


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


@pytest.mark.parametrize(
    "module",
    sorted(
        str(f.relative_to(REPOSITORY).with_suffix("")).replace("/", ".")
        for f in (REPOSITORY / "runtime").rglob("*.py")
        if f.name != "__init__.py"
    ),
)
def test_every_runtime_module_imports_without_the_heavy_packages(module: str) -> None:
    done = python(f"{BLOCK}\nimport {module}")
    assert done.returncode == 0, done.stderr


def test_every_command_imports_without_the_heavy_packages() -> None:
    """So that its --help needs none of them: what does is imported in the command, when it runs."""
    modules = sorted({module for module, _ in VERBS.values()})
    done = python(f"{BLOCK}\nimport importlib\nfor module in {modules}: importlib.import_module(module)")
    assert done.returncode == 0, done.stderr


def test_the_blocker_blocks() -> None:
    assert "blocked: torch" in python(f"{BLOCK}\nimport training.eager").stderr


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_no_file_shadows_a_module_when_run_as_a_script(stage: str) -> None:
    taken = sys.stdlib_module_names | STAGES | {"onnx", "cuda", "tensorrt", "numpy", "torch"}
    beside = {p.stem for p in (REPOSITORY / stage).glob("*.py")} | {
        p.name for p in (REPOSITORY / stage).iterdir() if p.is_dir() and p.name != "__pycache__"
    }
    assert not beside & taken
