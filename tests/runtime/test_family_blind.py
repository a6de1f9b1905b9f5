"""The runtime and calibration know a model by its contract's sections, not by its family or its configuration."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FOR_MODELS = {"family", "config"}
#: Where the family's name is printed for people.
FOR_PEOPLE = {"runtime/engine.py": ["describe"], "runtime/predictor.py": ["__repr__"]}


def reading(source: str) -> Iterator[str]:
    """The functions of a file that read one of FOR_MODELS from something, as an attribute or by getattr."""

    def visit(node: ast.AST, function: str) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.Attribute) and node.attr in FOR_MODELS:
            yield function
        named = node.args if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr" else []
        if any(isinstance(each, ast.Constant) and each.value in FOR_MODELS for each in named):
            yield function
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function)

    return visit(ast.parse(source), "<module>")


@pytest.mark.parametrize("package", ["runtime", "calibration"])
def test_neither_family_nor_config_is_read(package: str) -> None:
    found = {
        str(file.relative_to(REPOSITORY)): functions
        for file in sorted((REPOSITORY / package).rglob("*.py"))
        if (functions := list(reading(file.read_text(encoding="utf-8"))))
    }

    assert found == {file: there for file, there in FOR_PEOPLE.items() if file.startswith(package)}


@pytest.mark.parametrize(
    "line",
    [
        "contract.config",
        "session.contract.family",
        "contracts[0].config.get('neck')",
        "getattr(contract, 'family', '')",
    ],
)
def test_a_file_that_reads_them_is_found(line: str) -> None:
    assert list(reading(f"def f(contract, contracts, session):\n    return {line}")) == ["f"]
    assert list(reading("def f(contract):\n    return contract.layers.groups")) == []
