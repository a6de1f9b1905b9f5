"""bf16 on OpenVINO: layers with weights compute in it, coordinates and scores in float32.

A bf16 number has eight bits of mantissa: of a coordinate of 1000 px the last is worth 4 px. OpenVINO's own
setting (INFERENCE_PRECISION_HINT) computes coordinates in it too. So the types are written into the graph, as
the FP16 export does: a layer and what only passes its maps on are bf16; the contract's last layers (class
logits, box deltas, RPN outputs), box decoding, RoIAlign, NMS and scores stay float32.
"""

from __future__ import annotations

from typing import Any

from maskrt.runtime.contract import Layers

WEIGHTED = {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"}
#: What computes in bf16 behind such a layer: it adds, picks or averages values of maps.
PASSING = {"Relu", "Add", "MaxPool", "AvgPool", "Interpolate", "Concat", "Identity"}
KNOWN_BEFOREHAND = {"Constant", "ShapeOf"}


def set_brain_float(model: Any, layers: Layers) -> None:
    """Set the types of an openvino.Model of float32 in place; what it gives stays float32.

    layers: the contract's, which knows the last layers by the names of their weights.
    """
    from openvino import Type, opset1

    known: dict[str, str] = {}  # before an image is: to the name of the first constant that it is made of
    narrow: set[str] = set()
    casts: dict[tuple[str, int], Any] = {}  # the same value in the other type; no value is wanted in a third

    for node in model.get_ordered_ops():
        name, kind = node.get_name(), node.get_type_name()
        sources = [one.get_source_output() for one in node.inputs()]
        names = [one.get_node().get_name() for one in sources]
        if kind in KNOWN_BEFOREHAND or (names and known.keys() >= set(names)):
            known[name] = known.get(names[0], "") if names else node.get_friendly_name()
            continue
        maps = names[:1] if kind == "Interpolate" else [one for one in names if one not in known]
        if _is_given(node):
            computes = False
        elif kind in WEIGHTED:
            computes = names[1] in known and not layers.is_output(known[names[1]].removesuffix(".weight"))
        else:
            computes = kind in PASSING and bool(maps) and narrow.issuperset(maps)
        have, want = (Type.f32, Type.bf16) if computes else (Type.bf16, Type.f32)
        for place, source in enumerate(sources):
            if source.get_element_type() != have or (kind == "Interpolate" and place):  # sizes and scales
                continue
            key = (source.get_node().get_name(), source.get_index())
            if key not in casts:
                casts[key] = opset1.convert(source, want.get_type_name()).output(0)
            node.input(place).replace_source_output(casts[key])
        node.validate_and_infer_types()
        if computes:
            narrow.add(name)
    model.validate_nodes_and_infer_types()


def _is_given(node: Any) -> bool:
    """True if the model gives the node's value to its users."""
    readers = [reader for output in node.outputs() for reader in output.get_target_inputs()]
    return any(reader.get_node().get_type_name() == "Result" for reader in readers)
