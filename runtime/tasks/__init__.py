"""Tasks: the kinds of things that models find. One folder each, and the table of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import ModelError

if TYPE_CHECKING:  # what users of `maskrt.load` are given, for their type checkers
    from maskrt.runtime.tasks.instances.result import Result
    from maskrt.runtime.tasks.task import Task

__all__ = ["TASKS", "Result", "check_task", "task_of"]

#: By the contract's `task`: the module whose `TASK` does it.
TASKS = {"instances": "maskrt.runtime.tasks.instances.task"}


def task_of(contract: Contract) -> Task:
    """The task of a model that was opened (`check_task`)."""
    task: Task = importlib.import_module(TASKS[contract.task]).TASK
    return task


def check_task(contract: Contract, name: str) -> None:
    """Raise ModelError for a model of a task that this maskrt does not run. name: its file."""
    if contract.task not in TASKS:
        raise ModelError(
            f"{name}: a model for the task {contract.task!r}; this maskrt runs models for "
            f"{', '.join(TASKS)}. Upgrade maskrt here."
        )
