"""Training run as a file: `maskrt train --config` reads it, and a run leaves it as run.yaml.

It holds the command's options by their names, and the settings of the model and of the run in a section each.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskrt.models.settings import near
from maskrt.runtime.errors import MaskrtError

NAME = "run.yaml"
HEADING = "# maskrt train --config run.yaml -o FOLDER"
SECTIONS = ("model", "run")
#: Options of the command by their names in the file, and what the function calls them.
OPTIONS = {
    "data": "data_spec",
    "val": "val",
    "preset": "preset",
    "backbone": "backbone",
    "from": "start",
    "qat": "qat",
    "classes": "classes",
    "format": "format",
    "images": "images",
    "val_images": "val_images",
    "class_name": "class_name",
    "class_attribute": "class_attribute",
    "skip_bad": "skip_bad",
}
FLAGS = ("skip_bad",)
OF_THE_DATA = ("num_classes", "num_keypoints")  # of the model: they follow from the data


@dataclass(frozen=True)
class RunFile:
    """Content of a run's file. options: by the function's names; model, run: settings, not yet checked."""

    options: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)


def read_run(path: Path) -> RunFile:
    """Read a run's file. Raises MaskrtError where it is no YAML, or has unknown entries or wrong types."""
    import yaml  # of the extra `train`, which --help does not need

    if not path.is_file():
        raise MaskrtError(f"{path}: no such file. A run leaves one as {NAME} beside its checkpoints.")
    try:
        text = path.read_text(encoding="utf-8")
        double, content = _double(yaml.compose(text, yaml.SafeLoader)), yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise MaskrtError(f"{path}: not YAML that can be read ({reason}). Mend it there.") from error
    if double:
        raise MaskrtError(f"{path}: {double} is there twice. Leave one of them out.")
    if not isinstance(content, dict):
        raise MaskrtError(f"{path}: holds a {type(content).__name__}, expected entries as in {NAME}.")
    known = [*OPTIONS, *SECTIONS]
    options: dict[str, Any] = {}
    for name, value in content.items():
        if name not in known:
            hint = near(str(name), known)
            raise MaskrtError(
                f"{path}: {name}: no such entry; {hint}Known: {', '.join(known)}. Settings "
                "of the model and of the run stand below `model:` and `run:`."
            )
        expected = dict if name in SECTIONS else bool if name in FLAGS else str
        if value is not None and not isinstance(value, expected):
            words = {dict: "names with values", bool: "true or false", str: "text"}[expected]
            raise MaskrtError(f"{path}: {name} is {value!r}, expected {words}.")
        if name == "model" and (
            of_data := [each for each in OF_THE_DATA if each in (content["model"] or {})]
        ):
            raise MaskrtError(f"{path}: model: {of_data[0]} follows from the annotations. Leave it out.")
        if name in OPTIONS and value is not None:
            options[OPTIONS[name]] = value
    return RunFile(options, *(content.get(section) or {} for section in SECTIONS))


def _double(node: Any) -> str:
    """Find a key that a mapping of a file has twice, at any depth: YAML silently takes the last."""
    waiting, seen = [node], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen or not isinstance(getattr(one, "value", None), list):
            continue
        seen.add(id(one))
        keys = [key.value for key, _ in one.value] if one.id == "mapping" else []
        names = [key for key in keys if isinstance(key, str)]
        if double := next((name for i, name in enumerate(names) if name in names[:i]), ""):
            return double
        waiting += [value for _, value in one.value] if keys else one.value
    return ""


def describe_run(options: dict[str, Any], model: Any, run: Any) -> str:
    """Write a run's file. options: by the function's names; model, run: the configurations as resolved."""
    import yaml

    text = {name: options[parameter] for name, parameter in OPTIONS.items()}
    content: dict[str, Any] = {
        name: str(value) if isinstance(value, Path) else value for name, value in text.items()
    }
    settings = {k: _plain(v) for k, v in dataclasses.asdict(model).items() if k not in OF_THE_DATA}
    content |= {"model": settings, "run": {k: _plain(v) for k, v in dataclasses.asdict(run).items()}}
    dumped = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100)
    return f"{HEADING}\n{dumped}"


def _plain(value: Any) -> Any:
    """Convert tuples to lists: YAML has no other sequence."""
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
