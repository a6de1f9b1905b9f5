"""Lists the mutants of a source file: one operator, constant or condition changed, found in the syntax tree.

What changes no behaviour gives none: annotations, decorators, text, assertions, type-checking blocks,
`__name__` guards, and `strict` of `zip`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

PAIRS = "< <=, > >=, == !=, in not_in, is is_not, and or, + -, * /, & |, << >>"
SWAPPED = {a: b.replace("_", " ") for pair in PAIRS.split(", ") for a, b in (pair.split(),)}
SWAPPED |= {b: a for a, b in SWAPPED.items()} | {"//": "*", "%": "*", "**": "*"}
SYMBOLS = (
    "Lt < LtE <= Gt > GtE >= Eq == NotEq != In in NotIn not_in Is is IsNot is_not And and Or or Add + Sub - "
)
SYMBOLS += "Mult * Div / FloorDiv // Mod % Pow ** BitAnd & BitOr | LShift << RShift >>"
SYMBOL = {
    name: s.replace("_", " ") for name, s in zip(SYMBOLS.split()[::2], SYMBOLS.split()[1::2], strict=True)
}


@dataclass(frozen=True)
class Mutant:
    """A source file with the bytes from `start` to `end` replaced by `text`.

    operation: "< → <=", and "< → <= #2" for the second of its kind in the function.
    """

    path: str
    function: str
    operation: str
    start: int
    end: int
    text: str

    @property
    def module(self) -> str:
        """The module's dotted name."""
        return "maskrt." + self.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    @property
    def key(self) -> str:
        """Module, function and operation: they name the mutant, wherever its lines move to."""
        return f"{self.module}  {self.function}  {self.operation}"

    def of(self, source: bytes) -> bytes:
        """The mutated file."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """Every mutant of a file, in the order of its syntax tree. path: relative to the repository."""
    reader = _Reader(path, source)
    reader.visit(ast.parse(source))
    return reader.mutants


class _Reader(ast.NodeVisitor):
    def __init__(self, path: str, source: bytes) -> None:
        self.path, self.source = path, source
        self.lines = [0, *(match.end() for match in re.finditer(b"\n", source))]
        self.names: list[str] = []
        self.seen = Counter[tuple[str, str]]()
        self.mutants: list[Mutant] = []

    def visit(self, node: ast.AST) -> None:
        """A node and all below it, but for what changes no behaviour."""
        below = list(ast.iter_child_nodes(node))
        match node:
            case ast.JoinedStr() | ast.Assert() | ast.keyword(arg="strict"):
                return
            case ast.If(test=test) if re.search("TYPE_CHECKING|__name__", ast.unparse(test)):
                below = [*node.orelse]
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                self._turn(test)
            case ast.comprehension(ifs=tests):
                for test in tests:
                    self._turn(test)
            case ast.AnnAssign(annotation=annotation):
                below = [node.value] if node.value and ast.unparse(annotation) != "TypeAlias" else []
            case ast.FunctionDef(args=args):
                below = [*args.defaults, *filter(None, args.kw_defaults), *node.body]
            case ast.ClassDef():
                below = [*node.body]
            case ast.Compare(left=left, comparators=others):
                for pair in zip([left, *others], others, node.ops, strict=False):
                    self._swap(*pair)
            case ast.BoolOp(values=values):
                for left, right in pairwise(values):
                    self._swap(left, right, node.op)
            case ast.BinOp(left=left, right=right) if not (_is_text(left) or _is_text(right)):
                self._swap(left, right, node.op)
            case ast.Constant(value=bool(value)):
                self._add(f"{value} → {not value}", str(not value), *self._place(node))
            case ast.Constant(value=int(value) | float(value)):
                changed = value + 1 if isinstance(value, int) else value * 2 or 1.0
                self._add(f"{value} → {changed}", str(changed), *self._place(node))
        named = [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
        self.names += named
        for child in below:
            self.visit(child)
        del self.names[len(self.names) - len(named) :]

    def _turn(self, test: ast.expr) -> None:
        """A condition turned round, unless its own operator's mutant does that."""
        if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and _symbol(test.ops[0])[0] not in "<>"):
            start, end = self._place(test)
            self._add("condition → not", f"(not ({self.source[start:end].decode()}))", start, end)

    def _swap(self, left: ast.expr, right: ast.expr, operator: ast.AST) -> None:
        """Another operator between two operands."""
        if old := SYMBOL.get(type(operator).__name__):
            start, end = self._place(left)[1], self._place(right)[0]
            at = re.search(re.escape(old).replace(r"\ ", r"\s+").encode(), self.source[start:end])
            assert at, f"{self.path}: no {old} between two operands"
            self._add(f"{old} → {SWAPPED[old]}", SWAPPED[old], start + at.start(), start + at.end())

    def _add(self, operation: str, new: str, start: int, end: int) -> None:
        function = ".".join(self.names) or "(module)"
        self.seen[function, operation] += 1
        number = self.seen[function, operation]
        name = operation if number == 1 else f"{operation} #{number}"
        self.mutants.append(Mutant(self.path, function, name, start, end, new))

    def _place(self, node: ast.expr) -> tuple[int, int]:
        first, last = self.lines[node.lineno - 1], self.lines[(node.end_lineno or 0) - 1]
        return first + node.col_offset, last + (node.end_col_offset or 0)


def _symbol(operator: ast.AST) -> str:
    return SYMBOL[type(operator).__name__]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
