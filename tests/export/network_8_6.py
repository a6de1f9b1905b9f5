"""A network of TensorRT 8.6 as its parser makes it of an ONNX file, played: names and types, no shapes."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from onnx import ModelProto, TensorProto

from maskrt.export.engine.configure import Options, configure
from maskrt.export.engine.supported import PLUGINS
from maskrt.export.engine.values import Values

TYPES = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.BOOL: "bool"}
KINDS = {"Cast": "CAST", "Shape": "SHAPE", "TopK": "TOPK"} | dict.fromkeys(
    (*PLUGINS, "RoiAlign"), "PLUGIN_V2"
)


@dataclass
class Layer:
    """What 8.6 tells of a layer, and what it is told. Tensors are (name, type)."""

    name: str
    type: str
    inputs: list[tuple[str, str] | None]
    outputs: list[tuple[str, str]]
    precision: str | None = None
    output_types: dict[int, str] = field(default_factory=dict)

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    def get_input(self, index: int) -> SimpleNamespace | None:
        given = self.inputs[index]
        return None if given is None else SimpleNamespace(name=given[0], dtype=given[1])

    def get_output(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(name=self.outputs[index][0], dtype=self.outputs[index][1])

    def set_output_type(self, index: int, dtype: str) -> None:
        self.output_types[index] = dtype


class Names:
    """Stands for TensorRT's enumerations: a member is its own name."""

    def __getattr__(self, name: str) -> str:
        return name


def parsed(model: ModelProto) -> list[Layer]:
    """A layer a node. What follows a plugin is float32 to the network up to the next Cast, as on 8.6."""
    values, believed = Values(model.graph), {}
    for node in model.graph.node:
        from_plugin = any(believed.get(name) == "plugin" for name in node.input)
        for name in node.output:
            half = values.element_type(name) == TensorProto.FLOAT16
            if half and (node.op_type in PLUGINS or (from_plugin and node.op_type != "Cast")):
                believed[name] = "plugin"

    def tensor(name: str) -> tuple[str, str]:
        told = "float32" if name in believed else TYPES.get(values.element_type(name), "int32")
        return name, told

    return [
        Layer(
            node.name or node.output[0],
            KINDS.get(node.op_type, node.op_type.upper()),
            [tensor(name) if name else None for name in node.input],
            [tensor(name) for name in node.output if name],
        )
        for node in model.graph.node
    ]


def constrain(layers: list[Layer], model: ModelProto, precision: str = "fp16") -> list[str]:
    """Let `configure` say which types it wants of these layers. Returns the builder flags that it sets."""
    flags: list[str] = []
    config: Any = SimpleNamespace(
        set_tactic_sources=lambda _: None,
        set_flag=flags.append,
        clear_flag=lambda _: None,
        set_preview_feature=lambda *_: None,
    )
    trt = SimpleNamespace(
        TacticSource=SimpleNamespace(EDGE_MASK_CONVOLUTIONS=3, JIT_CONVOLUTIONS=4),
        BuilderFlag=Names(),
        LayerType=Names(),
        ProfilingVerbosity=Names(),
        PreviewFeature=Names(),
        float32="float32",
    )
    network = SimpleNamespace(num_layers=len(layers), get_layer=layers.__getitem__)
    builder = SimpleNamespace(create_builder_config=lambda: config)
    configure(trt, builder, network, (8, 6), precision, model, (), None, Options())
    return flags
