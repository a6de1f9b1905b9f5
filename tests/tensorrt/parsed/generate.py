"""The mock INetworkDefinition, generated from NVIDIA's NvInferImpl.h: every method asks Python (bridge.h).

TensorRT's interfaces are classes whose methods call a virtual implementation (`mImpl`, `mLayer`). The header
declares these implementations; here each becomes a class that forwards the call by name, with its arguments.
"""

from __future__ import annotations

import re
from pathlib import Path

METHOD = re.compile(r"virtual\s+([^()]+?)\b(\w+)\(([^()]*)\)\s*(const)?\s*noexcept\s*=\s*0;")
#: What Python can answer; a call of any other method ends the process with the method's name.
NUMBERS = (
    r"bool|float|double|u?int\d+_t|\w+(?:Type|Mode|Operation|Transformation|Selector|Format|Location|Flag)"
)
ANSWERED = rf"void|{NUMBERS}|char const\*|Dims|ITensor\*|I\w*Layer\*"
ENCODED = rf"{NUMBERS}|TensorFormats|char const\*|Dims(?:HW)?(?: const&)?|Permutation const&|Weights|ITensor(?: const)?&"
#: What is answered without Python. Errors are asked of the parser itself, so nobody records them.
GIVEN = {
    "getErrorRecorder": "nullptr",
    "setErrorRecorder": "",
    "getBuilder": "the_builder()",
    "getPluginRegistry": "*::getPluginRegistry()",
}
UNKNOWN_LAYERS = ("IIfConditionalInputLayer", "IIfConditionalOutputLayer", "IConditionLayer")


def generate(include: Path) -> str:
    """The text of mock.h for the headers in `include`."""
    implementations = _without_comments(include / "NvInferImpl.h")
    interfaces = _without_comments(include / "NvInfer.h")
    kinds = [
        kind
        for kind in re.findall(r"apiv::V(\w+Layer)\s*\*\s*mImpl", interfaces)
        if f"class I{kind} " in interfaces
    ]
    parts = ['#include "bridge.h"', "namespace mock {"]
    parts += [_forwarding(kind, implementations) for kind in ("Tensor", "Layer", *kinds)]
    parts += ["struct Tensor : ITensor { MTensor own; explicit Tensor(int id) : own(id) { mImpl = &own; } };"]
    parts += [
        f"struct {kind} : I{kind} {{ MLayer all; M{kind} own;"
        f" explicit {kind}(int id) : all(id), own(id) {{ mLayer = &all; mImpl = &own; }} }};"
        for kind in kinds
    ]
    parts += [LOOK_UP]
    parts += [f"template <> inline I{kind}* layer(int id) {{ return make<{kind}>(id); }}" for kind in kinds]
    parts += [_forwarding("Builder", implementations), BUILDER]
    parts += [_forwarding("NetworkDefinition", implementations)]
    parts += [
        "struct Network : INetworkDefinition { MNetworkDefinition own{0}; Network() { mImpl = &own; } };"
    ]
    return "\n".join([*parts, "}  // namespace mock", ""])


LOOK_UP = """
inline std::map<int, ITensor*> tensors;
inline std::map<int, ILayer*> layers;
inline int id_of(ITensor const& given) { return static_cast<Tensor const&>(given).own.id; }
inline ITensor* tensor(int id) {
    if (id < 0) return nullptr;
    auto*& found = tensors[id];
    return found ? found : found = new Tensor(id);
}
inline void forget() { tensors.clear(); layers.clear(); }
template <class Kind> Kind* make(int id) {
    auto* const made = new Kind(id);
    layers[id] = made;
    return made;
}
template <> inline ILayer* layer(int id) { return layers.at(id); }
"""


BUILDER = """
struct Builder : IBuilder { MBuilder own{0}; Builder() { mImpl = &own; } };
inline IBuilder& the_builder() { static Builder builder; return builder; }
"""


def _without_comments(header: Path) -> str:
    return re.sub(r"//.*", "", header.read_text(encoding="utf-8"))


def _forwarding(kind: str, source: str) -> str:
    found = re.search(rf"class V{kind}\s*:\s*public VRoot\s*\{{(.*?)\n\}};", source, re.DOTALL)
    assert found, f"NvInferImpl.h has no class V{kind}"
    methods = METHOD.findall(found[1])
    assert len(methods) == found[1].count("virtual"), (
        f"a method of V{kind} is written in a way not known here"
    )
    lines = [_method(kind, *(" ".join(part.split()) for part in method)) for method in methods]
    return f"struct M{kind} : Object, apiv::V{kind} {{\n using Object::Object;\n" + "\n".join(lines) + "\n};"


def _method(kind: str, returned: str, name: str, parameters: str, const: str) -> str:
    signature = f" {returned} {name}({parameters}) {const} noexcept override"
    if name in GIVEN:
        return f"{signature} {{ return {GIVEN[name]}; }}"
    if returned == "LayerType":
        return f'{signature} {{ return layer_type(Request("{kind}", id, "{name}").send<char const*>()); }}'
    puts = _puts(parameters)
    if puts is None or not re.fullmatch(ANSWERED, returned) or returned.rstrip("*") in UNKNOWN_LAYERS:
        return f'{signature} {{ unknown("{kind}::{name}"); }}'
    return f'{signature} {{ return Request("{kind}", id, "{name}"){puts}.send<{returned}>(); }}'


def _puts(parameters: str) -> str | None:
    """`.put("name", …)` of each parameter, a list with the count that follows it; None for a type not known."""
    puts, listed = "", None
    for parameter in filter(None, (p.strip() for p in parameters.split(","))):
        found = re.fullmatch(r"(.+?)\s*\b(\w+)(?: = \w+)?", parameter)
        assert found, f"'{parameter}' has no name"
        kind, name = found[1], found[2]
        if kind in ("ITensor* const*", "float const*"):
            listed = name
        elif listed is not None and name.startswith("nb"):
            puts += f'.put("{listed}", encode({listed}, {name}))'
        elif kind in ("IPluginV2&", "IPluginV3&"):
            puts += f'.put("{name}", describe({name}, inputs, nbInputs))'
        elif re.fullmatch(ENCODED, kind):
            puts += f'.put("{name}", encode({name}))'
        else:
            return None
    return puts
