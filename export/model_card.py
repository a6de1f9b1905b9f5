"""A model card in Markdown: what a user of an exported file should know before using it.

What it says comes from the contract and the checkpoint; what only the author can know has a place to be
filled in (Mitchell et al., Model Cards for Model Reporting, arXiv:1810.03993).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from maskrt.models.checkpoint import Checkpoint
from maskrt.runtime.contract import LEARNED_SCALES, Contract
from maskrt.runtime.tasks import task_of

CLASSES_SHOWN = 100
BY_SHORT_SIDE = "short side to {short} px, long side at most {long} px, bilinear"
PLACED = {
    "corner": f"{BY_SHORT_SIDE}; at the upper left, padded",
    "square": f"{BY_SHORT_SIDE}; in the middle of a black square",
    "native": "none, but to {long} px where a side is longer; at the upper left, padded",
    "stretch": "both sides to the canvas, or to {long} px where it is of any size, bilinear",
}
#: Whose filter resizes, as people know it.
FILTERS = {
    "torch": "torch's filter, nothing smoothed",
    "pil": "Pillow's filter, which smooths where it shrinks",
    "opencv": "OpenCV's filter",
    "skimage": "skimage's filter, nothing smoothed",
}
#: Of a checkpoint's provenance, by its keys; the rest is maskrt's own bookkeeping.
ORIGIN = {
    "data": "trained on",
    "validation": "validated on",
    "start": "begun from",
    "source": "from",
    "epoch": "epochs",
}


def model_card(checkpoint: Checkpoint, contract: Contract, model: Path, source: Path) -> str:
    """The card of `model`, exported under `contract` from the checkpoint at `source`."""
    finds, outputs = task_of(contract).card(contract)
    sections = (
        ("", [finds, "", *_table({**checkpoint.config.described, "exported from": source.name})]),
        ("Classes", _classes(contract)),
        ("Input", _input(contract)),
        ("Output", _output(contract, outputs)),
        ("Precision", _precision(contract)),
        ("Measured", _measured(checkpoint)),
        ("Where it is from", _origin(checkpoint, contract, source)),
        ("How to run it", _usage(model, source)),
        ("To be filled in", _left_open()),
    )
    text = [f"# Model card: {model.name}", ""]
    for title, lines in sections:
        text += [*([f"## {title}", ""] if title else []), *lines, ""]
    return "\n".join(text)


def _table(rows: dict[str, str]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items())]


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _classes(contract: Contract) -> list[str]:
    shown = {str(c.id): c.name for c in contract.classes[:CLASSES_SHOWN]}
    more = len(contract.classes) - len(shown)
    lines = [f"{len(contract.classes)}, with the ids of the data set:", "", "| id | name |", "|---|---|"]
    lines += [f"| {_cell(id)} | {_cell(name)} |" for id, name in shown.items()]
    return lines + ([f"| … | {more} more, in the file's contract |"] if more else [])


def _input(contract: Contract) -> list[str]:
    canvas = contract.canvas
    height, width = (side or "any multiple of the stride" for side in (canvas.height_px, canvas.width_px))
    resize = PLACED[canvas.placement].format(short=canvas.min_size_px, long=canvas.max_size_px)
    rows = {
        "batch": str(contract.batch or "any"),
        "canvas, px": f"{height} × {width} (height × width), stride {canvas.stride}",
        "pixels": f"RGB, {canvas.dtype}, 0 to 255; mean {_numbers(contract.normalise.mean)} and deviation "
        f"{_numbers(contract.normalise.std)} (of 0 to 1) are applied inside the file",
        "resize": resize,
        "resized by": f"{FILTERS[canvas.resize]} (`{canvas.resize}`); sides rounded `{canvas.rounding}`",
    }
    return [*_table(rows), "", "`maskrt infer` and `maskrt.load` do all of it; nothing is to be typed again."]


def _output(contract: Contract, rows: dict[str, str]) -> list[str]:
    return _table({"tensors": ", ".join(f"`{name}`" for name in contract.output_names), **rows})


def _precision(contract: Contract) -> list[str]:
    details = {k: v for k, v in contract.precision.details.items() if k != LEARNED_SCALES}
    learned = LEARNED_SCALES in contract.precision.details
    lines = [f"{contract.precision.name}."]
    if learned:
        lines.append("The weights were trained for eight bits; the scales are in the file.")
    return lines + (["", *_table({k: json.dumps(v) for k, v in details.items()})] if details else [])


def _measured(checkpoint: Checkpoint) -> list[str]:
    if not checkpoint.metrics:
        return ["The checkpoint holds no metrics. Measure it: `maskrt evaluate MODEL --data DATA`."]
    on = checkpoint.provenance.get("validation") or "its validation data"
    rows = {name: "–" if value < 0 else f"{value:.4f}" for name, value in checkpoint.metrics.items()}
    said = f"Of the checkpoint in training, on {on}; of this file: `maskrt evaluate`, `maskrt parity`."
    return [said, "", *_table(rows)]


def _origin(checkpoint: Checkpoint, contract: Contract, source: Path) -> list[str]:
    given: dict[str, Any] = checkpoint.provenance
    rows = {words: str(given[key]) for key, words in ORIGIN.items() if given.get(key) is not None}
    rows |= {"checkpoint": source.name, "its SHA-256": checkpoint.sha256}
    if contract.chosen_settings:
        rows["chosen at export"] = ", ".join(f"{k}={v}" for k, v in contract.chosen_settings.items())
    return _table(rows | {"exported by": f"maskrt {contract.origin.toolkit_version}"})


def _usage(model: Path, source: Path) -> list[str]:
    return [
        "```bash",
        f"maskrt infer {model.name} photos/ -o out",
        f"maskrt parity {source.name} {model.name} photos/    # is it still the model that was trained?",
        "```",
        "",
        "```python",
        "import maskrt",
        "",
        f'result = maskrt.load("{model.name}")("photo.jpg")[0]',
        "```",
    ]


def _left_open() -> list[str]:
    return [
        "- **License** of the weights and of the data: …",
        "- **Intended use**, and what it must not be used for: …",
        "- **Limits** that are known (light, sizes, places, groups of people the data lacks): …",
        "- **Contact**: …",
    ]


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
