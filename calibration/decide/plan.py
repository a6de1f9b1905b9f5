"""The precision plan: which layers run in eight bits, as JSON that a person can read and change."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from maskrt.calibration.decide.layers import OUTPUTS, Graph
from maskrt.calibration.flavours import FLAVOURS
from maskrt.calibration.measure.observers import METHODS
from maskrt.calibration.rewrite.placement import quantisable
from maskrt.runtime.errors import CalibrationError
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import PRECISION_PLAN

FORMAT_VERSION = 1
INT8, FLOAT = "int8", "float"


@dataclass(frozen=True)
class Plan:
    """What to quantise and how. `layers`: by group, each layer's precision: "int8" or "float"."""

    flavour: str
    method: str
    layers: dict[str, dict[str, str]]

    @classmethod
    def default(cls, graph: Graph, flavour: str, method: str, *, last_layers: bool = False) -> Plan:
        """Everything that the flavour has kernels for, the last layers only if asked for."""
        able = set(quantisable(graph, flavour))
        return cls(
            flavour,
            method,
            {
                group: {
                    name: INT8 if name in able and (last_layers or group != OUTPUTS) else FLOAT
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
    def in_words(self) -> str:
        """How much of the model it puts into eight bits."""
        int8 = len(self.int8_layers)
        return f"{int8} of {int8 + len(self.float_layers)} layers in INT8"

    @property
    def last_layers(self) -> list[str]:
        """Those of `int8_layers` whose outputs are class scores, boxes and RPN outputs."""
        return [name for name, kind in self.layers.get(OUTPUTS, {}).items() if kind == INT8]

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

    def with_int8(self, layers: list[str]) -> Plan:
        """The plan with these layers in eight bits too."""
        return Plan(
            self.flavour,
            self.method,
            {
                group: {name: INT8 if name in layers else kind for name, kind in names.items()}
                for group, names in self.layers.items()
            },
        )

    def only(self, group: str) -> Plan:
        """The plan with all other groups in float."""
        return self.without([name for name in self.layers if name != group])

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        fields = {"format": FORMAT_VERSION, "flavour": self.flavour, "method": self.method}
        write_text(path, json.dumps({**fields, "layers": self.layers}, indent=2) + "\n", PRECISION_PLAN)

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read a plan. Raises CalibrationError for any other file, naming the entry that is wrong."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            version, layers = fields.pop("format"), fields["layers"]
            entries = [(name, kind) for names in layers.values() for name, kind in names.items()]
            plan = cls(**fields)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CalibrationError(
                f"{path}: not a precision plan ({type(error).__name__}: {error}). maskrt calibrate writes "
                "one beside each model."
            ) from error
        for what, got, allowed in (
            ("format", version, (FORMAT_VERSION,)),
            ("flavour", plan.flavour, FLAVOURS),
            ("method", plan.method, tuple(METHODS)),
            *((name, kind, (INT8, FLOAT)) for name, kind in entries),
        ):
            if got not in allowed:
                raise CalibrationError(
                    f"{path}: {what} is {got!r}, expected one of {allowed}. Mend the plan."
                )
        return plan
