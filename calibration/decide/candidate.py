"""Builds a quantised model from a plan, in memory: it is written only after the gate has passed it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto

from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import FLAVOURS
from maskrt.calibration.rewrite.placement import place
from maskrt.calibration.rewrite.qdq import Quantise, Ranges
from maskrt.runtime.contract import INPUT_NAMES, METADATA_KEY, Contract
from maskrt.runtime.errors import ModelError
from maskrt.runtime.parity.promises import broken_promises


def read_model(path: Path, *precisions: str) -> tuple[ModelProto, Contract]:
    """Read an exported file of one of the precisions, and its contract. Raises ModelError for any other."""
    try:
        model = onnx.load(path)
        text = next(entry.value for entry in model.metadata_props if entry.key == METADATA_KEY)
    except (OSError, DecodeError, StopIteration) as error:
        raise ModelError(
            f"{path}: not an ONNX file of maskrt. Make one: maskrt export CHECKPOINT -o {path}"
        ) from error
    contract = Contract.from_json(text, str(path))
    if contract.precision.name not in precisions:
        raise ModelError(
            f"{path}: a model in {contract.precision.name}, expected {' or '.join(precisions)}. Make one: "
            f"maskrt export CHECKPOINT -o {path} --precision {precisions[0]}"
        )
    inputs = {each.name for each in model.graph.input} - {each.name for each in model.graph.initializer}
    if inputs != set(INPUT_NAMES):
        raise ModelError(
            f"{path}: takes {', '.join(sorted(inputs)) or 'nothing'}, expected {' and '.join(INPUT_NAMES)} "
            f"alone. Export it again: maskrt export CHECKPOINT -o {path}"
        )
    return model, contract


def check_made_alike(path: Path, contract: Contract, of: Path, float32: Contract) -> None:
    """Check that `path`, of that contract, is the same model as the float32 file `of`, by the same rules.

    Raises ModelError for another checkpoint's, or where pictures or results are treated otherwise: what
    was measured by one rule would be said of the other.
    """
    if contract.origin.checkpoint_sha256 != float32.origin.checkpoint_sha256:
        raise ModelError(f"{path}: made from another checkpoint than {of}. Export both from one.")
    if broken := broken_promises(float32, contract):
        raise ModelError(
            f"{path}: exported otherwise than {of}: {broken[0]}. Export both with the same options."
        )


def observed_tensors(graph: Graph) -> list[str]:
    """Every tensor whose range some plan of some flavour needs, and the inputs of all layers."""
    names = {node.input[0] for layer in graph.layers.values() for node in layer.nodes}
    for flavour in FLAVOURS:
        for group in place(graph, list(graph.layers), flavour).scale_groups.values():
            names |= group
    return sorted(names)


def build(base: ModelProto, plan: Plan, ranges: Ranges) -> ModelProto:
    """The model `base` (left alone) with the plan's layers in eight bits.

    Raises CalibrationError where `ranges` lack a tensor: they were measured on another graph.
    """
    model = ModelProto()
    model.CopyFrom(base)
    placement = place(Graph(base.graph), plan.int8_layers, plan.flavour)
    ranges = dict(ranges)
    for node in base.graph.node:  # a half graph has casts that the measured float32 graph lacks
        if node.op_type == "Cast" and node.input[0] in ranges:
            ranges.setdefault(node.output[0], ranges[node.input[0]])
    Quantise(placement, ranges)(model)
    onnx.checker.check_model(model)
    return model


def sign(model: ModelProto, contract: Contract, details: dict[str, object]) -> None:
    """Write the contract of the INT8 form into the model, in place."""
    put_contract(model, contract.in_precision("int8", {**contract.precision.details, **details}))


def put_contract(model: ModelProto, contract: Contract) -> None:
    """Replace the contract in the model, in place."""
    entry = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    entry.value = contract.to_json()


def share_in_int8(plan: Plan, multiply_adds: Mapping[str, float]) -> float:
    """The share of the layers' multiply-adds that the plan puts into eight bits, 0–1."""
    return sum(multiply_adds[name] for name in plan.int8_layers) / sum(multiply_adds.values())
