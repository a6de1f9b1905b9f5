"""The tables of tolerances in the documentation are those that parity judges by."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from maskrt.runtime.tasks.instances.compare import tolerances as instances
from maskrt.runtime.tasks.semantic.compare import tolerances as semantic

DOCS = Path(__file__).resolve().parents[1] / "docs"
NUMBER = r"([\d.]+)"
ROW = re.compile(r"\| `(\w+)` " + rf"\| {NUMBER} " * 4 + r"\|")


def limits(tolerance: Any) -> dict[str, float]:
    """A precision's numbers, by the names that --limit takes."""
    return {name: value for name, value in dataclasses.asdict(tolerance).items() if type(value) is not bool}


@pytest.mark.parametrize(
    ("page", "module"), [("parity.md", instances), ("semantic.md", semantic)], ids=["instances", "semantic"]
)
def test_every_limit_of_every_precision_is_documented(page: str, module: Any) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    table = text[text.index("| `--limit` | FP32 | FP16 | bf16 | INT8 |") :].split("\n\n")[0]
    documented = {name: tuple(map(float, values)) for name, *values in ROW.findall(table)}
    judged_by = [limits(module.BY_PRECISION[name]) for name in ("fp32", "fp16", "bf16", "int8")]
    assert documented == {name: tuple(one[name] for one in judged_by) for name in judged_by[0]}
