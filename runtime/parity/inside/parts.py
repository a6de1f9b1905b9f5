"""A model in the parts between its stages (`Contract.inside`), each run by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.ort_session import load_onnx
from maskrt.runtime.contract import PREFIX, Contract
from maskrt.runtime.errors import ModelError, first_line
from maskrt.runtime.siblings import cut_into_parts

FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Parts(Protocol):
    """Either side of a comparison in parts."""

    def run(self, part: str, given: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """What a part makes, by the names of stages and outputs, of what it is given, a batch of one."""

    @property
    def names(self) -> Iterable[str]:
        """The parts that can be run."""


class GraphParts:
    """An ONNX file in parts, on ONNX Runtime."""

    def __init__(self, path: Path, contract: Contract, *, device: str = "cpu") -> None:
        """Raises ModelError for a file that is no ONNX, or names no stages."""
        if path.suffix != ".onnx":
            raise ModelError(
                f"{path}: only an ONNX file can be run in parts. Give the one it was built from."
            )
        self._inside, self._copies = contract.inside, contract.batch or 1
        self._sessions = {
            name: load_onnx(part, str(path), device) for name, part in cut_into_parts(path).items()
        }

    @property
    def names(self) -> Iterable[str]:
        """The parts, in the order of the computation."""
        return self._sessions

    def side(self, name: str, axis: int) -> int | None:
        """How long an axis is of what a part takes; None of a graph that lost its shapes."""
        nodes = (node for session in self._sessions.values() for node in session.get_inputs())
        shapes = (tuple(node.shape) for node in nodes if node.name == self._inside.tensor(name))
        known = (shape[axis] for shape in shapes if len(shape) > axis)
        return next((side for side in known if isinstance(side, int)), None)

    def as_taken(self, part: str, given: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """What a part is given, rounded as the types of its inputs round it: half takes half."""
        types = {node.name.removeprefix(PREFIX): node.type for node in self._sessions[part].get_inputs()}
        return {
            name: values.astype(np.float16).astype(values.dtype)
            if types.get(name) == "tensor(float16)"
            else values
            for name, values in given.items()
        }

    def run(self, part: str, given: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """As the protocol has it; a graph of a fixed batch gets copies, and its first answer counts."""
        session = self._sessions[part]
        feed = {}
        for node in session.get_inputs():
            values = given[node.name.removeprefix(PREFIX)]
            values = values.astype(FLOATS.get(node.type, values.dtype), copy=False)
            feed[node.name] = np.concatenate([values] * self._copies) if self._copies > 1 else values
        names = [node.name.removeprefix(PREFIX) for node in session.get_outputs()]
        try:
            made = dict(zip(names, session.run(None, feed), strict=True))
        except Exception as error:  # onnxruntime's exceptions share no base class but Exception
            raise ModelError(f"{part} cannot be run by itself ({first_line(error)})") from error
        return {name: values[: len(values) // self._copies] for name, values in made.items()}
