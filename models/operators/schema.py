"""Helpers that the schemas of all custom operators share."""

from __future__ import annotations

from onnx.defs import OpSchema
from onnxscript.values import Op, Opset

DOMAIN = "maskrt"
VERSION = 1
OPSET = 18  # of the bodies, and of the exported graph
PLUGIN_ATTRIBUTES = {"plugin_namespace": DOMAIN, "plugin_version": str(VERSION)}

AttrType = OpSchema.AttrType


def float_constant(value: float) -> str:
    """Write a float32 number in the text of a body, as a tensor.

    As an attribute, value_float, it would have whatever type a tool's language gives to numbers: onnxslim
    makes a double of it, and the file does not load.
    """
    return f"Constant <value = float {{{value!r}}}> ()"


def operator(name: str, inputs: dict[str, str], outputs: dict[str, str], **attributes: AttrType) -> Op:
    """An operator to call in a translation: names and ONNX types of its inputs and outputs, types of its
    attributes. The type "T" is float32 or float16."""
    attributes |= dict.fromkeys(PLUGIN_ATTRIBUTES, AttrType.STRING)
    schema = OpSchema(
        name,
        DOMAIN,
        VERSION,
        inputs=[OpSchema.FormalParameter(n, t) for n, t in inputs.items()],
        outputs=[OpSchema.FormalParameter(n, t) for n, t in outputs.items()],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)"], "features")],
        attributes=[OpSchema.Attribute(n, t) for n, t in attributes.items()],
    )
    return Op(Opset(DOMAIN, VERSION), name, schema)
