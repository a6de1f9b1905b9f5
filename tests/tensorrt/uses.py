"""Every name of TensorRT's that a file uses, as it is reached under one TensorRT: found in the source, not run.

Known are `trt.X`, what is assigned from a call (`builder = trt.Builder(...)`), and parameters and attributes of the
names in HOLDS. `if version < (10, 0)`, `major_minor(...)[0] < 10` and `hasattr(...)` are decided for that version, and
what they leave out is not looked at; nor is a function that nothing calls but what they leave out.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.tensorrt.bindings import Api, Version

HOLDS = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
}
HOLDS_IN = {"get_output_shapes": {"builder": "IExprBuilder"}}  # of a plugin
RETURNS = {
    "create_builder_config": "IBuilderConfig",
    "create_network": "INetworkDefinition",
    "create_optimization_profile": "IOptimizationProfile",
    "create_timing_cache": "ITimingCache",
    "get_timing_cache": "ITimingCache",
    "get_layer": "ILayer",
    "get_output": "ITensor",
    "get_error": "ParserError",
    "get_plugin_registry": "IPluginRegistry",
    "deserialize_cuda_engine": "ICudaEngine",
    "create_engine_inspector": "EngineInspector",
    "create_execution_context": "IExecutionContext",
    "create_execution_context_without_device_memory": "IExecutionContext",
}
MODULE = "<module>"
COMPARE = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}


@dataclass(frozen=True)
class Use:
    """`owner.name`, where owner is a class of TensorRT's or its module."""

    owner: str
    name: str
    line: int

    def exists(self, api: Api) -> bool:
        names = api.module if self.owner == MODULE else api.classes.get(self.owner, frozenset())
        return self.name in names


def find_uses(path: Path, version: Version, api: Api) -> list[Use]:
    """What the file uses where it runs under this version."""
    return _Reader(ast.parse(path.read_text(encoding="utf-8")), version, api).read()


@dataclass
class _Reader:
    tree: ast.Module
    version: Version
    api: Api
    uses: list[Use] = field(default_factory=list)

    def read(self) -> list[Use]:
        self.functions = {n.name: n for n in self.tree.body if isinstance(n, ast.FunctionDef)}
        self.constants = {
            n.targets[0].id: n.value
            for n in self.tree.body
            if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
        }
        named = {n.id for n in ast.walk(self.tree) if isinstance(n, ast.Name)}
        self.pending = [f for name, f in self.functions.items() if name not in named]
        self.pending += [n for n in self.tree.body if isinstance(n, ast.ClassDef)]
        self.seen: set[str] = set()
        self._block([n for n in self.tree.body if not isinstance(n, ast.FunctionDef | ast.ClassDef)], {})
        while self.pending:
            self._enter(self.pending.pop(), {})
        return self.uses

    def _enter(self, node: ast.FunctionDef | ast.ClassDef, outside: dict[str, str]) -> None:
        known = dict(outside)
        if isinstance(node, ast.FunctionDef):
            holds = HOLDS | HOLDS_IN.get(node.name, {})
            for argument in (*node.args.args, *node.args.kwonlyargs):
                if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Any":
                    known |= {argument.arg: holds[argument.arg]} if argument.arg in holds else {}
                else:
                    known.pop(argument.arg, None)
        else:
            for base in node.bases:
                self._expression(base, known)
        self._block(node.body, known)

    def _block(self, body: list[ast.stmt], known: dict[str, str]) -> bool:
        """Look at statements in order; returns whether they are left for good."""
        for statement in body:
            if isinstance(statement, ast.If):
                holds = self._decide(statement.test, known)
                if holds is None:
                    self._expression(statement.test, known)
                left = [self._block(statement.body, known)] if holds is not False else []
                left += [self._block(statement.orelse, known)] if holds is not True else []
                if all(left):
                    return True
            elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
                self._enter(statement, known)
            else:
                for part in ast.iter_child_nodes(statement):
                    if isinstance(part, ast.expr):
                        self._expression(part, known)
                for inner in ("body", "orelse", "finalbody"):
                    self._block(getattr(statement, inner, []), known)
                for item in (*getattr(statement, "items", []), *getattr(statement, "handlers", [])):
                    if isinstance(item, ast.withitem):
                        self._expression(item.context_expr, known)
                    else:
                        self._block(item.body, known)
                if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                    known[statement.targets[0].id] = self._type(statement.value, known) or ""
                if isinstance(statement, ast.Return | ast.Raise | ast.Continue):
                    return True
        return False

    def _expression(self, expression: ast.expr, known: dict[str, str]) -> None:
        if isinstance(expression, ast.IfExp) and (holds := self._decide(expression.test, known)) is not None:
            return self._expression(expression.body if holds else expression.orelse, known)
        if isinstance(expression, ast.ListComp | ast.GeneratorExp):
            known = dict(known)
            for generator in expression.generators:
                self._expression(generator.iter, known)
                if isinstance(generator.target, ast.Name):
                    known[generator.target.id] = self._element(generator.iter, known)
        if isinstance(expression, ast.Attribute) and (owner := self._type(expression.value, known)):
            self.uses.append(Use(owner, expression.attr, expression.lineno))
        if (
            isinstance(expression, ast.Name)
            and expression.id in self.functions
            and expression.id not in self.seen
        ):
            self.seen.add(expression.id)
            self.pending.append(self.functions[expression.id])
        for part in _expressions(expression):
            self._expression(part, known)
        return None

    def _element(self, iterable: ast.expr, known: dict[str, str]) -> str:
        """The type of what a list of calls holds: `[parser.get_error(i) for i in ...]`, by its variable's name."""
        return self._type(iterable, known) or ""

    def _type(self, expression: ast.expr, known: dict[str, str]) -> str | None:
        if isinstance(expression, ast.Name):
            return MODULE if expression.id == "trt" else known.get(expression.id) or None
        if isinstance(expression, ast.ListComp):  # of its elements: whoever loops over it has them
            return self._type(expression.elt, known)
        if isinstance(expression, ast.Attribute):
            owner = self._type(expression.value, known)
            if owner == MODULE:
                return expression.attr if expression.attr in self.api.classes else None
            return HOLDS.get(expression.attr.lstrip("_")) if _is_self(expression.value) else None
        if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Attribute):
            if self._type(expression.func.value, known) == MODULE:
                return RETURNS.get(expression.func.attr, expression.func.attr)
            return RETURNS.get(expression.func.attr)
        return None

    def _decide(self, test: ast.expr, known: dict[str, str]) -> bool | None:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            holds = self._decide(test.operand, known)
            return None if holds is None else not holds
        if isinstance(test, ast.Compare) and type(test.ops[0]) in COMPARE:
            left, right = self._version_part(test.left), self._literal(test.comparators[0])
            if left is not None and type(left) is type(right):
                return bool(COMPARE[type(test.ops[0])](left, right))
        if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "hasattr":
            owner, name = self._type(test.args[0], known), test.args[1]
            if owner and isinstance(name, ast.Constant):
                return Use(owner, name.value, test.lineno).exists(self.api)
        return None

    def _version_part(self, expression: ast.expr) -> object:
        if isinstance(expression, ast.Name) and expression.id == "version":
            return self.version[:2]
        if isinstance(expression, ast.Subscript) and ast.unparse(expression).startswith("major_minor("):
            return self.version[0]
        return self.version[:2] if ast.unparse(expression).startswith("major_minor(") else None

    def _literal(self, expression: ast.expr) -> object:
        if isinstance(expression, ast.Name):
            expression = self.constants.get(expression.id, expression)
        try:
            return ast.literal_eval(expression)
        except ValueError:
            return None


def _expressions(node: ast.AST) -> Iterator[ast.expr]:
    """The nearest expressions inside a node; a lambda's body is part of where it stands."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.expr):
            yield part
        else:
            yield from _expressions(part)


def _is_self(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Name) and expression.id == "self"
