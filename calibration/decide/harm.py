"""How much the rounding of a tensor harms the layers that read it, known from weights and one image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from maskrt.calibration.decide.layers import PASSED_THROUGH, WEIGHTED, Graph

LEAST = 1e-12  # of a power that is divided by


def harm_of(graph: Graph, tensor: str, rounded: NDArray, exact: NDArray) -> float:
    """The share of noise in what the layers compute that read the tensor, of the worst of them.

    rounded, exact: its values, channels along axis 1. A channel's noise and its signal count as its weights
    make them (their power; of channels that are independent of each other these add up). So a channel that is
    hardly read counts for little, and where a few channels are far larger than the rest and are read by far
    smaller weights, the noise that they bring to the others counts in full. Where no layer reads the tensor,
    channels count alike.
    """
    others = tuple(axis for axis in range(exact.ndim) if axis != 1)
    signal, noise = (
        np.atleast_1d(np.square(part).sum(axis=others)) for part in (exact, rounded - exact)
    )  # by channel
    powers = [weight_power(graph, node) for node in readers(graph, tensor)]
    fitting = [power for power in powers if len(power) == len(signal)] or [np.ones_like(signal)]
    return max(float(noise @ power / max(float(signal @ power), LEAST)) for power in fitting)


def readers(graph: Graph, tensor: str) -> list[NodeProto]:
    """The nodes with weights that read a tensor, also behind a MaxPool or a Resize."""
    found = []
    for node in graph.consumers.get(tensor, []):
        if node.op_type in WEIGHTED and node.input[0] == tensor and node.input[1] in graph.initializers:
            found.append(node)
        elif node.op_type in PASSED_THROUGH:
            found += readers(graph, node.output[0])
    return found


def weight_power(graph: Graph, node: NodeProto) -> NDArray:
    """The sum of the squares of a node's weights, of each channel that it reads."""
    squares = np.square(graph.weight(node))
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == "Gemm":
        return squares.sum(axis=0 if attributes.get("transB") else 1)
    if node.op_type == "ConvTranspose":
        return squares.sum(axis=tuple(range(1, squares.ndim)))
    groups = attributes.get("group", 1)
    by_group = squares.reshape(groups, -1, *squares.shape[1:])  # groups, outputs, inputs, height, width
    return by_group.sum(axis=(1, *range(3, by_group.ndim))).ravel()
