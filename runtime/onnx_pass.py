"""Edits of ONNX models as passes: each says what it requires of a model and what it ensures afterwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this package needs no onnx
    from onnx import GraphProto, ModelProto, NodeProto


class PassError(Exception):
    """A pass did not do what it ensures, or was given a model that it is not for: a bug in maskrt."""


class OnnxPass(ABC):
    """One edit of an ONNX model, in place: `modified = HoldConstants()(model)`.

    Weights are not copied. A model that needs no edit is left as it is, and so is one that was edited before.
    """

    def __call__(self, model: ModelProto) -> bool:
        """Edit the model. Returns whether anything was changed.

        Raises PassError, or the MaskrtError that the pass names, where the model is not what it requires.
        """
        self.requires(model)
        modified = self.call(model)
        self.ensures(model)
        return modified

    def requires(self, model: ModelProto) -> None:
        """Raise where the model is not one that the pass can edit. Nothing was changed then."""
        return

    @abstractmethod
    def call(self, model: ModelProto) -> bool:
        """Edit the model, in place. Returns whether anything was changed."""

    @abstractmethod
    def ensures(self, model: ModelProto) -> None:
        """Raise PassError where the edited model is not what the pass promises."""


def run_passes(model: ModelProto, passes: Iterable[OnnxPass]) -> bool:
    """Run passes in turn. Returns whether one of them changed the model."""
    modified = False
    for each in passes:
        modified |= each(model)
    return modified


def replace_nodes(graph: GraphProto, nodes: Iterable[NodeProto]) -> None:
    """Give a graph other nodes, in their order."""
    kept = list(nodes)
    del graph.node[:]
    graph.node.extend(kept)


def expect(promise: bool, subject: object, broken: str) -> None:
    """Raise PassError, naming the pass, where a promise is not kept."""
    if not promise:
        raise PassError(f"{type(subject).__name__}: {broken}")
