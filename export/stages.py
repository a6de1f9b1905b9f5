"""The stages of a model file (runtime.stages) as outputs of its graph, and the parts between them.

Every exported file names the tensors at its stages. As a rule they are not outputs, since an output must be
kept and copied; here they are made outputs, in a file exported long ago too.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from runtime.errors import ModelError
from runtime.stages import PREFIX, STAGES


def hide_stages(model: onnx.ModelProto) -> None:
    """Take the stages from the graph's outputs, in place; their types stay, as those of inner values."""
    stages = [value for value in model.graph.output if value.name.startswith(PREFIX)]
    for value in stages:
        model.graph.output.remove(value)
    model.graph.value_info.extend(stages)


def show_stages(model: onnx.ModelProto, source: str) -> None:
    """Make every stage an output of the graph, in place. Does nothing where they are outputs.

    Raises ModelError, naming the file `source`, where the graph lacks a stage.
    """
    outputs = {value.name for value in model.graph.output}
    inner = {value.name: value for value in model.graph.value_info}
    names = [PREFIX + stage for stage in STAGES if PREFIX + stage not in outputs]
    missing = [name for name in names if name not in inner]
    if missing:
        raise ModelError(
            f"{source}: its graph has no tensor named {missing[0]!r}, so it cannot be looked into. "
            f"Export it again with this maskrt: maskrt export CHECKPOINT -o {source}"
        )
    for name in names:
        model.graph.output.append(inner[name])
        model.graph.value_info.remove(inner[name])


def read_with_stages(path: Path) -> bytes:
    """The ONNX file at `path`, serialised with its stages as outputs."""
    model = onnx.load(path)
    show_stages(model, str(path))
    return model.SerializeToString()
