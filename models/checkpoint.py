"""maskrt's checkpoint: weights with everything needed to build, run and export the model.

A dictionary {format, family, config, classes, state_dict, metrics, provenance} of plain values and tensors,
so that it loads with `weights_only=True` and cannot run code.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn

from maskrt.models import FAMILIES, find_family
from maskrt.models.config import ModelConfig
from maskrt.models.family import Family
from maskrt.models.settings import assignments, parse, replaced
from maskrt.runtime.contract import (
    LEARNED_SCALES,
    Canvas,
    Category,
    Contract,
    Keypoints,
    Normalise,
    Origin,
    Precision,
    image_inputs,
    read_keypoints,
)
from maskrt.runtime.errors import CheckpointError, ContractError, ExportError, first_line
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.kinds import CHECKPOINT
from maskrt.runtime.structs import FieldError

FORMAT_VERSION = 1
FAULTS_SHOWN, FAULT_CHARACTERS = 4, 400  # of weights that do not fit: another model's are hundreds


@dataclass(frozen=True)
class Checkpoint:
    """A trained model of any family. classes: by label; metrics: of the validation set."""

    config: ModelConfig
    classes: tuple[Category, ...]
    state_dict: dict[str, Tensor]
    metrics: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    keypoints: Keypoints | None = None  # for the task "keypoint"
    sha256: str = ""  # of the file it was read from
    chosen_settings: dict[str, Any] = field(default_factory=dict)  # of config: not the file's own

    def __post_init__(self) -> None:
        if len(self.classes) != self.config.classes_found:
            raise CheckpointError(
                f"checkpoint has names for {len(self.classes)} classes, but its network tells "
                f"{self.config.classes_found} apart. Give one name a class: --classes name1,name2,…"
            )

        points = len(self.keypoints.names) if self.keypoints else 0
        if points != self.config.keypoints_found:
            raise CheckpointError(
                f"checkpoint names {points} keypoints, but its {self.config.family} finds "
                f"{self.config.keypoints_found or 'none'}. Train it again."
            )

    @property
    def family(self) -> Family[Any, Any]:
        """What its network is."""
        return find_family(self.config.family)

    def with_settings(self, values: Mapping[str, Any] | Sequence[str], source: str) -> Checkpoint:
        """The same weights in a model of other settings, which its contract will tell.

        values: fields of the configuration, also as JSON has them, or the KEY=VALUE texts of --set;
        source: where a mapping is from, for messages. Raises MaskrtError for an unknown field or a value of
        another kind, CheckpointError for one out of its range.
        """
        if not isinstance(values, Mapping):
            values = parse(assignments(values), self.config)
        config = replaced(self.config, values, source)
        changed = {k: v for k, v in config.to_dict().items() if v != getattr(self.config, k)}
        return dataclasses.replace(self, config=config, chosen_settings={**self.chosen_settings, **changed})

    def build(self) -> nn.Module:
        """The network with these weights, in eval mode.

        Raises CheckpointError where keys or shapes do not fit, or a weight is not finite.
        """
        if unnamed := [name for name in self.state_dict if not isinstance(name, str)]:
            raise CheckpointError(
                f"a weight's name is {unnamed[0]!r}, expected a text. Export an earlier checkpoint."
            )
        try:
            model: nn.Module = self.family.build(self.config)
        except RuntimeError as error:  # of torch, which could not allocate the weights
            raise CheckpointError(
                f"no {self.config.title} can be built of its configuration "
                f"({first_line(error)[-120:]}). Compare its sizes with those it was trained with."
            ) from error
        try:
            model.load_state_dict(self.state_dict)
        except RuntimeError as error:
            _, *faults = str(error).splitlines()  # missing keys, unexpected ones, then a line a shape
            shown = [shorten(fault, FAULT_CHARACTERS, placeholder=" …") for fault in faults[:FAULTS_SHOWN]]
            more = f"; and {len(faults) - FAULTS_SHOWN} more" if len(faults) > FAULTS_SHOWN else ""
            raise CheckpointError(
                f"the weights do not fit the {self.config.title} of the checkpoint: {'; '.join(shown)}{more}."
            ) from error
        for name, tensor in self.state_dict.items():
            if tensor.is_complex():
                raise CheckpointError(f"weight '{name}' is of complex numbers, which no layer here takes.")
        for name, tensor in model.state_dict().items():  # as it is used: in float32, wider numbers overflow
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                bad = int((~torch.isfinite(tensor)).sum())
                raise CheckpointError(
                    f"weight '{name}': {bad} of {tensor.numel()} values are NaN or infinite. The training "
                    "diverged: use an earlier checkpoint, or train again with a lower --lr."
                )
        return model.eval()

    def contract(
        self,
        *,
        height_px: int | None = None,
        width_px: int | None = None,
        batch: int | None = None,
        dtype: str = "uint8",
        detections: str = "fixed",
    ) -> Contract:
        """What a file exported from this checkpoint promises. A size of None means any.

        Raises ExportError for a canvas that is no multiple of the stride, ContractError for a configuration
        or classes that no contract may hold.
        """
        stride = self.config.stride
        if any(side is not None and (side <= 0 or side % stride) for side in (height_px, width_px)):
            raise ExportError(
                f"canvas {height_px}x{width_px}: both sides must be positive multiples of {stride}. "
                f"Try --height {_nearest(height_px, stride)} --width {_nearest(width_px, stride)}"
            )
        from maskrt import __version__

        config: Any = self.config
        canvas = Canvas(
            min_size_px=config.min_size_px,
            max_size_px=config.max_size_px,
            stride=stride,
            height_px=height_px,
            width_px=width_px,
            dtype=dtype,
            placement=config.placement,
            **config.resizing,
        )
        options = config.options(detections, self.keypoints)
        source = f"the {config.title} of the checkpoint"
        again = f"Correct its classes, or {type(config).__name__} (docs/architecture.md, The contract)."
        try:
            contract = Contract(
                task=options.TASK,
                family=config.family,
                config=config.to_dict(),
                classes=self.classes,
                canvas=canvas,
                normalise=Normalise(config.mean, config.std),
                inputs=image_inputs(canvas, batch),
                outputs=options.tensors(batch, canvas, len(self.classes)),
                options=options,
                inside=config.inside,
                layers=config.layers,
                precision=Precision(
                    details={k: v for k, v in self.provenance.items() if k == LEARNED_SCALES}
                ),
                origin=Origin(__version__, self.sha256),
                chosen_settings=self.chosen_settings,
            )
        except FieldError as error:
            raise ContractError(
                f"{source}: the contract's field '{error.path}' {error.problem}. {again}"
            ) from error
        Contract.from_json(contract.to_json(), source, again)  # or the file's readers would refuse it
        return contract

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the checkpoint atomically."""
        content = {
            "format": FORMAT_VERSION,
            "family": self.config.family,
            "config": self.config.to_dict(),
            "classes": [dataclasses.asdict(c) for c in self.classes],
            "state_dict": self.state_dict,
            "keypoints": self.keypoints and dataclasses.asdict(self.keypoints),
            "metrics": self.metrics,
            "provenance": self.provenance,
        }
        with atomic_path(path, CHECKPOINT) as temporary:
            try:
                torch.save(content, temporary)
            except RuntimeError as error:  # so PyTorch's writer ends where the disk is full
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def read_weights_file(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    """The dictionary in a PyTorch file, and the file's SHA-256.

    Raises CheckpointError for a missing, empty, truncated or foreign file, or one that holds code.
    """
    path = existing_checkpoint(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises nearly anything on bytes that are no pickle
        reason = "no PyTorch file, or one with other objects in it than tensors and plain values"
        if isinstance(error, RuntimeError | EOFError | OSError) and str(error):
            reason = first_line(error)
        raise CheckpointError(
            f"{path}: not a readable PyTorch checkpoint ({path.stat().st_size} bytes; {reason}). "
            "Truncated files end like this: copy it again, or use the other of best.pt and last.pt."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected a dictionary of weights.")
    return content, file_sha256(path)


def existing_checkpoint(path: str | os.PathLike[str]) -> Path:
    """The path, if there is a file. Raises CheckpointError with the command that makes one."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such checkpoint. Make one: maskrt train --data DATA -o {path.parent}"
        )
    return path


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256") if hasattr(hashlib, "file_digest") else None
        return digest.hexdigest() if digest else hashlib.sha256(stream.read()).hexdigest()


def parse_checkpoint(content: dict[str, Any], sha256: str, source: str) -> Checkpoint:
    """A maskrt checkpoint from the dictionary of its file; `source` names it in messages."""
    if content["format"] != FORMAT_VERSION:
        raise CheckpointError(
            f"{source}: checkpoint format {content['format']}, this maskrt reads {FORMAT_VERSION}. "
            "Upgrade maskrt."
        )
    if content["family"] not in list(FAMILIES):
        raise CheckpointError(
            f"{source}: of the family {content['family']!r}, expected one of {', '.join(FAMILIES)}. "
            "Upgrade maskrt."
        )
    for name in ("config", "state_dict", "metrics", "provenance"):
        if not isinstance(content.get(name), dict):
            raise CheckpointError(
                f"{source}: not a maskrt checkpoint: its {name} is a {type(content.get(name)).__name__}, "
                "expected a dictionary."
            )
    if other := [key for key, value in content["state_dict"].items() if not isinstance(value, Tensor)]:
        raise CheckpointError(f"{source}: not a maskrt checkpoint: its weight {other[0]!r} is no tensor.")
    try:
        return Checkpoint(
            config=find_family(content["family"]).read_config(content["config"]),
            classes=tuple(Category(**c) for c in content["classes"]),
            state_dict=content["state_dict"],
            keypoints=(stored := content.get("keypoints")) and read_keypoints(**stored),
            metrics=content["metrics"],
            provenance=content["provenance"],
            sha256=sha256,
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{source}: not a maskrt checkpoint: {error!r} is missing or malformed."
        ) from error


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """The checkpoint in a file of our own format. Raises CheckpointError for any other."""
    content, sha256 = read_weights_file(path)
    if not is_maskrt_checkpoint(content):
        raise CheckpointError(f"{path}: not a checkpoint of maskrt. Make one: maskrt train --data DATA")
    return parse_checkpoint(content, sha256, str(path))


def is_maskrt_checkpoint(content: dict[str, Any]) -> bool:
    """True if the dictionary is of our own format (else it may be a foreign file of weights)."""
    return {"format", "family", "config", "state_dict"} <= content.keys()


def _nearest(side: int | None, stride: int) -> int:
    return max(stride, round((side or 0) / stride) * stride)
