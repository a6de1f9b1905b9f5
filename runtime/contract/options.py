"""What a task says of a model: the section of the contract that bears the task's name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from maskrt.runtime.contract.sections import Canvas
from maskrt.runtime.contract.tensors import Tensor

FIXED, DYNAMIC = ROWS = "fixed", "dynamic"


class Options(ABC):
    """Options of one task. A subclass is a frozen dataclass with a FORMAT, the `OPTIONS` of
    `runtime/tasks/<task>/options.py`."""

    #: The task, by its name in `maskrt.runtime.tasks.TASKS`.
    TASK: ClassVar[str]
    #: Fields that say how a file computes, and not what: parity takes no other value for a difference.
    CHOSEN_AT_EXPORT: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def tensors(self, batch: int | None, canvas: Canvas, classes: int) -> tuple[Tensor, ...]:
        """What a model gives, in order. batch None: any; classes: how many it tells apart."""

    def beside(self, batch: int | None, canvas: Canvas) -> tuple[Tensor, ...]:
        """What a PyTorch reference gives beside the outputs, for parity: no file holds it."""
        return ()

    @property
    def detections(self) -> str:
        """As `maskrt export --detections` has it: DYNAMIC where shapes inside follow from what is found."""
        return FIXED

    def check(self, classes: int) -> None:  # noqa: B027 - most need none
        """Raise FieldError where one field contradicts another, or the number of classes."""
