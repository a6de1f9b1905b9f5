"""A task's arrays are named, and its modules imported, in its own folder and in models/ alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskrt.runtime.contract import Canvas, Keypoints
from maskrt.runtime.tasks import TASKS, options_of
from maskrt.runtime.tasks.instances.options import BoxGrid, InstancesOptions

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("runtime", "calibration", "export", "training")
CANVAS = Canvas(64, 96, 32, None, None, "uint8")
POINTS = Keypoints(("nose",), ())
EVERY_OUTPUT = {
    tensor.name
    for more in ({"masks": BoxGrid(8, 0.5)}, {"keypoints": POINTS})
    for tensor in InstancesOptions(0.1, 0.5, 4, "fixed", **more).tensors(1, CANVAS, 2)
}
#: Files that may, and why.
ALLOWED = {
    "runtime/tasks/__init__.py": "the table; and for type checkers what `maskrt.load` gives",
    "runtime/contract/inside.py": "a kind of taps is called boxes",
    "runtime/inputs/labels_beside.py": "folders of data sets",
    "export/plugins/abi.py": "arguments of an operator",
    "training/data/formats": "folders and fields of other projects' files",
    "training/data/sample.py": "COCO's fields",
    "training/loop/loader.py": "what networks are given to learn from",
    "training/loop/ssd.py": "the same, of which it takes rows away",
    "training/keypoint_targets.py": "the same; and COCO's AP knows some numbers of points alone",
}


def is_a_kind(node: ast.AST) -> bool:
    """True of `tap.kind == "boxes"`, where the word is a kind of taps and no output."""
    return isinstance(node, ast.Compare) and ast.unparse(node.left).endswith("kind")


def known(source: str) -> Iterator[str]:
    """What a file knows of a task: the outputs that it names and the modules that it imports."""
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if is_a_kind(node):
            continue
        if isinstance(node, ast.Constant) and node.value in EVERY_OUTPUT:
            yield str(node.value)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(tuple(TASKS.values())):
            yield str(node.module)
        waiting += ast.iter_child_nodes(node)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_file_knows_the_instances(package: str) -> None:
    own = tuple(f"runtime/tasks/{name}/" for name in TASKS)
    for file in sorted((REPOSITORY / package).rglob("*.py")):
        place = str(file.relative_to(REPOSITORY))
        if not place.startswith((*own, *ALLOWED)):
            assert set(known(file.read_text(encoding="utf-8"))) == set(), place


@pytest.mark.parametrize("place", ALLOWED)
def test_what_is_allowed_is_used(place: str) -> None:
    path = REPOSITORY / place
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert any(set(known(file.read_text(encoding="utf-8"))) for file in files)


def test_a_file_that_knows_them_is_found() -> None:
    assert set(known("outputs['boxes'][0]")) == {"boxes"}
    assert set(known("arrays = {'num_detections': 3}")) == {"num_detections"}
    module = "maskrt.runtime.tasks.instances.result"
    assert set(known(f"def f():\n    from {module} import Result")) == {module}
    assert set(known("if tap.kind == 'boxes' or kind in ('map', 'boxes'):\n    pass")) == set()


@pytest.mark.parametrize("task", TASKS)
def test_a_tasks_options_are_found_by_its_name(task: str) -> None:
    assert task == options_of(task).TASK
