"""The precision plan: which layers run in eight bits, as JSON that a person can read and change."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.flavours import FLAVOURS
from maskrt.calibration.measure.observers import METHODS
from maskrt.calibration.rewrite.placement import quantisable
from maskrt.runtime.errors import CalibrationError
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import PRECISION_PLAN
from maskrt.runtime.rules import one_of
from maskrt.runtime.structs import FileKind, Format, plain, read

INT8, FLOAT = "int8", "float"
Precision = Annotated[str, one_of((INT8, FLOAT))]
FILE_KIND = FileKind(
    "precision plan",
    "not a precision plan",
    "Correct it, or take the one that maskrt calibrate writes beside each model.",
    CalibrationError,
)


@dataclass(frozen=True)
class Plan:
    """What to quantise and how. `layers`: by group, each layer's precision: "int8" or "float"."""

    FORMAT: ClassVar[Format] = Format(1)
    flavour: Annotated[str, one_of(FLAVOURS)]
    method: Annotated[str, one_of(METHODS)]
    layers: dict[str, dict[str, Precision]]

    @classmethod
    def default(cls, graph: Graph, flavour: str, method: str, *, last_layers: bool = False) -> Plan:
        """The plan that puts every layer with a kernel into eight bits, the last layers only if asked for."""
        able = set(quantisable(graph, flavour))
        return cls(
            flavour,
            method,
            {
                group: {
                    name: INT8 if name in able and (last_layers or not graph.names.is_output(name)) else FLOAT
                    for name in names
                }
                for group, names in graph.groups.items()
            },
        )

    @property
    def int8_layers(self) -> list[str]:
        """Names of the layers in eight bits."""
        return [name for names in self.layers.values() for name, kind in names.items() if kind == INT8]

    @property
    def float_layers(self) -> list[str]:
        """Names of the layers that stay in float."""
        return [name for names in self.layers.values() for name, kind in names.items() if kind == FLOAT]

    @property
    def summary(self) -> str:
        """How many layers are in eight bits, as text."""
        int8 = len(self.int8_layers)
        return f"{int8} of {int8 + len(self.float_layers)} layers in INT8"

    @property
    def int8_groups(self) -> list[str]:
        """Groups with a layer in eight bits."""
        return [group for group, names in self.layers.items() if INT8 in names.values()]

    def without(self, groups: list[str]) -> Plan:
        """The plan with these groups back in float."""
        return Plan(
            self.flavour,
            self.method,
            {
                group: dict.fromkeys(names, FLOAT) if group in groups else names
                for group, names in self.layers.items()
            },
        )

    def with_float(self, layers: list[str]) -> Plan:
        """The plan with these layers back in float."""
        return Plan(
            self.flavour,
            self.method,
            {
                group: {name: FLOAT if name in layers else kind for name, kind in names.items()}
                for group, names in self.layers.items()
            },
        )

    def only(self, group: str) -> Plan:
        """The plan with all other groups in float."""
        return self.without([name for name in self.layers if name != group])

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        write_text(path, json.dumps(plain(self), indent=2) + "\n", PRECISION_PLAN)

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read a plan. Raises CalibrationError for any other file, naming the entry that is wrong."""
        return read(cls, path, path, FILE_KIND)
