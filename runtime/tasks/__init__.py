"""Tasks: the kinds of things that models find. One folder each, and the table of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from maskrt.runtime.structs import FieldError

if TYPE_CHECKING:  # the last for users of `maskrt.load`: what they are given
    from maskrt.runtime.contract import Contract, Options
    from maskrt.runtime.tasks.instances.result import Result
    from maskrt.runtime.tasks.task import Task

__all__ = ["TASKS", "Result", "options_of", "task_named", "task_of"]

#: By the contract's `task`: its package, whose module `task` holds TASK and `options` OPTIONS.
TASKS = {
    "instances": "maskrt.runtime.tasks.instances",
    "semantic": "maskrt.runtime.tasks.semantic",
}


def task_of(contract: Contract) -> Task:
    """What does a contract's task."""
    return task_named(contract.task)


def task_named(name: str) -> Task:
    """What does a task of TASKS."""
    task: Task = importlib.import_module(f"{TASKS[name]}.task").TASK
    return task


def options_of(task: str) -> type[Options]:
    """The class of a task's options. Raises FieldError for a task that this maskrt does not run."""
    if task not in TASKS:
        problem = f"is {task!r}, but this maskrt runs models for {', '.join(TASKS)} alone"
        raise FieldError("task", problem, "Upgrade maskrt here, or go on with this one: ")
    options: type[Options] = importlib.import_module(f"{TASKS[task]}.options").OPTIONS
    return options
