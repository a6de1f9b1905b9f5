"""Finds the tests of a module by imports: test files that import it, or import what imports it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("maskrt", "tests", "benchmarks", "examples")
PACKAGES = ("runtime", "models", "calibration", "export", "training")


class Imports:
    """Who imports whom in a repository: by import statements, and by modules that tables name."""

    def __init__(self, repository: Path) -> None:
        self.files = dict(_modules(repository))
        self.trees = {name: ast.parse((repository / file).read_bytes()) for name, file in self.files.items()}
        self.edges = {name: set(self._imports_of(name)) - {name} for name in self.files}
        imported = set().union(*self.edges.values())
        for name, tree in self.trees.items():  # what is found by the name of its package, as families are
            for place in set(_named_in(tree)):
                below = (module for module in self.files if f"{module}.".startswith(f"{place}."))
                self.edges[name] |= set(below) - imported
        #: But for tests/full, which takes hours.
        tests = {name for name, file in self.files.items() if file.name.startswith("test_")}
        self.tests = {name for name in tests if "full" not in self.files[name].parts}

    def tests_of(self, module: str) -> dict[Path, int]:
        """Test files → modules between them and the module, at the least, 0 for those that import it."""
        steps, known, reached = {}, {module}, {module}
        for step in range(len(self.files)):
            reached = {name for name, names in self.edges.items() if names & reached} - known
            known |= reached
            steps |= {self.files[name]: step for name in reached & self.tests}
            reached -= self.tests
            if not reached:
                break
        return steps

    def _imports_of(self, name: str) -> Iterator[str]:
        for node in ast.walk(self.trees[name]):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names if alias.name in self.files)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from (self._defined_in(node.module, alias.name) for alias in node.names)
            elif isinstance(node, ast.Constant) and node.value in self.files:
                yield str(node.value)

    def _defined_in(self, package: str, name: str) -> str:
        """The module that a name of a package comes from, through what its `__init__` passes on."""
        if f"{package}.{name}" in self.files:
            return f"{package}.{name}"
        for node in ast.walk(self.trees.get(package, ast.Module([], []))):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    if name == (alias.asname or alias.name) and self.files[package].name == "__init__.py":
                        return self._defined_in(node.module, alias.name)
        return package


def _named_in(tree: ast.Module) -> Iterator[str]:
    """The modules and packages that texts name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\bmaskrt(?:\.\w+){2,}", node.value)


def _modules(repository: Path) -> Iterator[tuple[str, Path]]:
    """Dotted names and files, relative to the repository."""
    for folder in FOLDERS:
        inside = [f"maskrt/{package}" for package in PACKAGES] if folder == "maskrt" else []
        for at in (folder, *inside):
            for file in sorted((repository / at).rglob("*.py")):
                path = file.relative_to(repository)
                yield ".".join(path.with_suffix("").parts).removesuffix(".__init__"), path
