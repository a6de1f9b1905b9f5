"""Puts layers of a file in reduced precision back to float32, and leaves the rest as it is.

A unit goes back as a whole: in an INT8 file one layer; in an FP16 file what the export switches together (a
residual block, a head), since values between its layers stay half. Its nodes take the float32 file's weights
and read the tensors before casts and Q/DQ pairs. The pairs on their outputs are removed, so a wrong scale is
corrected with the layer whose values it is for. Both files must have the same tensor names, as exports of one
checkpoint do.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from maskrt.calibration.decide.layers import WEIGHTED, Graph
from maskrt.runtime.contract import PREFIX
from maskrt.runtime.onnx_pass import OnnxPass, expect, replace_nodes

PAIR = ("QuantizeLinear", "DequantizeLinear")


def reduced_units(model: ModelProto) -> list[str]:
    """List the units in half or in eight bits, in the order of the graph."""
    return list(dict.fromkeys(unit for unit in _Units(model).of_node if unit))


def return_to_float32(candidate: ModelProto, reference: ModelProto, units: list[str]) -> ModelProto:
    """The model `candidate` (left alone) with `units` of `reduced_units` computed as in `reference`."""
    model = ModelProto()
    model.CopyFrom(candidate)
    ReturnToFloat32(reference, units)(model)
    return model


class ReturnToFloat32(OnnxPass):
    """Computes units of a model in reduced precision as the float32 model does."""

    def __init__(self, reference: ModelProto, units: list[str]) -> None:
        """reference: the float32 model, which gives the weights. units: of `reduced_units`."""
        self.reference, self.units = reference, units

    def requires(self, model: ModelProto) -> None:
        """Every unit is one of the model's."""
        unknown = set(self.units) - set(reduced_units(model))
        expect(not unknown, self, f"{sorted(unknown)} are no units in reduced precision")

    def call(self, model: ModelProto) -> bool:
        """Write the nodes anew, and drop what is read no more."""
        if self.units:
            _Restorer(model, self.reference, set(self.units)).write()
        return bool(self.units)

    def ensures(self, model: ModelProto) -> None:
        """None of the units is in reduced precision."""
        left = set(self.units) & set(reduced_units(model))
        expect(not left, self, f"{sorted(left)} are still in reduced precision")


class _Units:
    """Which unit each node belongs to: the one whose weights it reads, else that of its latest producer."""

    def __init__(self, model: ModelProto) -> None:
        self.graph = Graph.of(model)
        self.half = {
            value.name
            for value in (*model.graph.value_info, *model.graph.output)
            if value.type.tensor_type.elem_type == TensorProto.FLOAT16
        } | {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT16}
        self.of_node: list[str | None] = []
        place: dict[str, int] = {}
        for index, node in enumerate(model.graph.node):
            # A pair's scale may be half: it is no weight.
            weights = () if node.op_type in PAIR else node.input
            unit = next(filter(None, map(self._of_weight, weights)), None)
            before = [place[name] for name in node.input if name in place]
            # A layer in float32, RoIAlign and NMS are of no unit, nor is what they make.
            if unit is None and before and node.domain == "" and node.op_type not in WEIGHTED:
                unit = self.of_node[max(before)]
            self.of_node.append(unit)
            place.update(dict.fromkeys(node.output, index))

    def _of_weight(self, name: str) -> str | None:
        """The unit of a reduced weight, read as it is or through the DQ that makes it."""
        node, constants = self.graph.producer.get(name), self.graph.initializers
        if node is not None and node.op_type == "DequantizeLinear" and node.input[0] in constants:
            return _base(name).removesuffix(".weight") if _base(name).endswith(".weight") else None
        return self.graph.names.unit_of(name) if name in constants and name in self.half else None


class _Restorer:
    """Rewrites the nodes one by one, in their order."""

    def __init__(self, model: ModelProto, reference: ModelProto, units: set[str]) -> None:
        self.model, self.weights = model, Graph(reference.graph).initializers
        known = _Units(model)
        self.graph, self.half = known.graph, known.half
        self.inside = [
            unit in units and node.op_type not in PAIR
            for unit, node in zip(known.of_node, model.graph.node, strict=True)
        ]
        pairs = zip(self.inside, model.graph.node, strict=True)
        self.made = {name for inside, node in pairs if inside for name in node.output}
        self.nodes: list[NodeProto] = []
        self.added: set[str] = set()

    def write(self) -> None:
        for inside, original in zip(self.inside, list(self.model.graph.node), strict=True):
            node = NodeProto()
            node.CopyFrom(original)
            read = self._read_inside if inside else self._read_outside
            node.input[:] = [read(name, original) if name else name for name in original.input]
            if inside and node.op_type == "Cast":
                for attribute in node.attribute:
                    attribute.i = TensorProto.FLOAT if attribute.i == TensorProto.FLOAT16 else attribute.i
            self.nodes.append(node)
        for value in (*self.model.graph.value_info, *self.model.graph.output):
            if value.name in self.made & self.half or value.name in self.added:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        self._drop_what_nobody_reads()

    def _read_inside(self, name: str, reader: NodeProto) -> str:
        reduced = name in self.half or name not in self.graph.initializers
        if reduced and _base(name).endswith((".weight", ".bias")) and _base(name) in self.weights:
            return self._weight(_base(name))
        name = self._before_rounding(name)
        if name in self.half and name not in self.made:
            return self._cast(name, TensorProto.FLOAT)
        return name

    def _read_outside(self, name: str, reader: NodeProto) -> str:
        source = self._before_pair(name)
        if source not in self.made:
            return name
        if source in self.half and reader.op_type != "Cast":
            return self._cast(source, TensorProto.FLOAT16)
        return source

    def _before_pair(self, name: str) -> str:
        """The tensor that a Q/DQ pair rounds; any other is given back."""
        node = self.graph.producer.get(name)
        if node is not None and node.op_type == "DequantizeLinear":
            quantiser = self.graph.producer.get(node.input[0])
            if quantiser is not None:
                return quantiser.input[0]
        return name

    def _before_rounding(self, name: str) -> str:
        """The tensor as it was before a pair, and before a cast to half."""
        name = self._before_pair(name)
        node = self.graph.producer.get(name)
        if node is None or node.op_type != "Cast" or name not in self.half or name in self.made:
            return name
        return self._before_rounding(node.input[0])

    def _weight(self, name: str) -> str:
        restored = f"{name}/float32" if name in self.graph.initializers else name
        if restored not in self.added:
            self.added.add(restored)
            values = numpy_helper.to_array(self.weights[name])
            self.model.graph.initializer.append(numpy_helper.from_array(values, restored))
        return restored

    def _cast(self, name: str, dtype: int) -> str:
        cast = f"{name}/{'float32' if dtype == TensorProto.FLOAT else 'half'}"
        if cast not in self.added:
            self.added.add(cast)
            self.nodes.append(helper.make_node("Cast", [name], [cast], cast, to=dtype))
        return cast

    def _drop_what_nobody_reads(self) -> None:
        read = {value.name for value in self.model.graph.output}
        read |= {value.name for value in self.model.graph.value_info if value.name.startswith(PREFIX)}
        kept = []
        for node in reversed(self.nodes):
            if read & set(node.output):
                kept.append(node)
                read |= set(node.input)
        replace_nodes(self.model.graph, reversed(kept))
        weights = [t for t in self.model.graph.initializer if t.name in read]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(weights)


def _base(name: str) -> str:
    """The tensor that a name made by maskrt.calibration.rewrite.qdq (or here) stands for."""
    return name.split("/", 1)[0]
