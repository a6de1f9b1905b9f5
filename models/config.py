"""What is common to the families' configurations."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from maskrt.runtime.contract import Inside, Keypoints, Layers, Options
from maskrt.runtime.contract.options import FIXED
from maskrt.runtime.errors import CheckpointError

Config = TypeVar("Config", bound="ModelConfig")


@dataclass(frozen=True)
class ModelConfig(ABC):
    """A family's configuration: a frozen dataclass of numbers, texts and tuples of them, all with defaults.

    Among its fields are `min_size_px` and `max_size_px`, the resize rule (runtime/preprocess.py); `mean` and
    `std` of R G B in 0–1; and `num_classes` and, of a model that finds points, `num_keypoints`, which follow
    from the training data, so that `--set` refuses them. Whether `num_classes` counts a background is the
    family's choice. Its properties are what the contract says.
    """

    #: Fields of earlier versions by name, with the value whose meaning is now there without them.
    RETIRED: ClassVar[Mapping[str, Any]] = {}

    @property
    @abstractmethod
    def family(self) -> str:
        """The name in FAMILIES of the network that it describes."""

    @property
    @abstractmethod
    def classes_found(self) -> int:
        """Classes that the network tells apart, without the background."""

    @property
    def keypoints_found(self) -> int:
        """Points that the network finds of each object."""
        return 0

    @property
    @abstractmethod
    def stride(self) -> int:
        """Sides of a canvas are multiples of it, in px."""

    @property
    def placement(self) -> str:
        """Where pictures lie on the canvas: one of PLACEMENTS (`Canvas` in runtime/contract/sections.py)."""
        return "corner"

    @property
    def resizing(self) -> dict[str, Any]:
        """How pictures are resized for it: `resize`, `resize_dtype` and `rounding` of `Canvas`."""
        return {}

    @abstractmethod
    def options(self, rows: str, keypoints: Keypoints | None) -> Options:
        """The options of the task that the network is for (`runtime/tasks/<task>/options.py`).

        rows: "fixed" or "dynamic", passed on as it is; keypoints: the checkpoint's. A task that has no rows,
        or no keypoints, ignores them.
        """

    @property
    def finds(self) -> str:
        """The task, by its name in TASKS (`maskrt.runtime.tasks`)."""
        return self.options(FIXED, None).TASK

    @property
    def inside(self) -> Inside:
        """Where parity and calibration look: names of tensors in the graph, and the parts between them.

        The canvas is among the taps, as `CANVAS`; the part that ends in boxes gives `DETECTED`.
        """
        return Inside()

    @property
    def layers(self) -> Layers:
        """How the graph's weights are named and grouped, for what changes their precision."""
        return Layers()

    @property
    def title(self) -> str:
        """What to call the network in messages."""
        return self.family

    @property
    def described(self) -> dict[str, str]:
        """What a model card says of the network, by subject."""
        return {"network": self.family}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored in checkpoints and contracts."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls: type[Config], values: Mapping[str, Any]) -> Config:
        """Read back `to_dict`, from JSON too. Raises CheckpointError on unknown keys."""
        values = cls.without_retired(values)
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise CheckpointError(
                f"model configuration has unknown fields {unknown}: it was written by a newer maskrt. "
                "Upgrade maskrt, or train again with this version."
            )
        return cls(**{key: _as_tuple(value) for key, value in values.items()})

    @classmethod
    def without_retired(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values of an earlier version's file, without the fields that say what is so anyway."""
        return {key: value for key, value in values.items() if (key, value) not in cls.RETIRED.items()}


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(v) for v in value) if isinstance(value, list | tuple) else value
