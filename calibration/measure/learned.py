"""Turns the scales that training learned (maskrt train --qat; in the contract) into ranges of the graph."""

from __future__ import annotations

from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import TENSORRT
from maskrt.calibration.rewrite.placement import place
from maskrt.calibration.rewrite.qdq import INT8_MAX, Ranges
from maskrt.runtime.errors import CalibrationError


def learned_ranges(graph: Graph, scales: dict[str, float]) -> Ranges:
    """The ranges, ±127 scales, of every tensor that shares its scale with a point of `scales`.

    Training rounds like the file for TensorRT with the default plan.

    Raises CalibrationError for a point that the graph lacks, or that has no pair.
    """
    plan = Plan.default(graph, TENSORRT, "minmax")  # the pairs are those of every method
    placement = place(graph, plan.int8_layers, plan.flavour)
    ranges: Ranges = {}
    for point, scale in scales.items():
        tensor = tensor_at(graph, point)
        if tensor not in placement.scale_groups:
            raise CalibrationError(
                f"a scale was learned for '{point}', and the model has no pair there. Train it again with "
                "this maskrt: maskrt train --qat CHECKPOINT"
            )
        bound = INT8_MAX * scale
        ranges |= dict.fromkeys(placement.scale_groups[tensor], (-bound, bound))
    return ranges


def tensor_at(graph: Graph, point: str) -> str | None:
    """The tensor at "<module>.input.<use>" or "<module>.output"; None where the graph has no such layer."""
    name = graph.names.name_here(point)
    if name.endswith(".output"):
        layer, use, of_input = graph.layers.get(name.removesuffix(".output")), 0, False
    else:
        start, _, number = name.rpartition(".input.")
        layer, use, of_input = graph.layers.get(start), int(number), True
    if layer is None or use >= len(layer.nodes):
        return None
    node = layer.nodes[use]
    return node.input[0] if of_input else node.output[0]
