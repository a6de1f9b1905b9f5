"""A tiny model with a contract, made by hand: what the runtime does with its answers is known beforehand."""

from __future__ import annotations

import dataclasses
import html
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import pytest

from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.layout import inside_of, layers_of
from maskrt.runtime.backends.open import Session, open_session
from maskrt.runtime.contract import (
    METADATA_KEY,
    Canvas,
    Category,
    Contract,
    Keypoints,
    Normalise,
    Origin,
    Precision,
    image_inputs,
)
from maskrt.runtime.tasks.instances.options import BoxGrid, InstancesOptions

REPOSITORY = Path(__file__).resolve().parents[2]
CLASSES = (Category(17, "cat"), Category(90, "toothbrush"), Category(3, "car"))
MASK_SIZE, ROWS = 8, 4
INSIDE, LAYERS = inside_of(MaskRcnnConfig()), layers_of(MaskRcnnConfig())
# As fractions of the valid area, so that in the original image's pixels they are the same at any scale.
BOXES = ((0.1, 0.2, 0.6, 0.9), (0.5, 0.0, 1.0, 0.5), (0.0, 0.6, 0.3, 1.0))
SCORES, LABELS = (0.9, 0.8, 0.3), (1, 0, 2)
# What a contract says otherwise of a model of the other tasks.
BOXES_ALONE = {"masks": None}
SKELETON = Keypoints(("nose", "left_ear", "right_ear"), ((0, 1), (0, 2)))
WITH_POINTS = BOXES_ALONE | {"keypoints": SKELETON}
# x, y as fractions too, and a logit.
POINTS = (((0.3, 0.4, 5.0), (0.2, 0.3, 4.0), (0.5, 0.6, -3.0)),) * 3
HIDE_AND_RUN = """
import runpy, sys
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {hidden!r} else self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Hiding, sys.meta_path)
sys.argv = {arguments!r}
{action}
"""

# The output after the labels, and what makes it.
LAST = {
    "masks": (
        f", float[{{n}}, {ROWS}, {MASK_SIZE}, {MASK_SIZE}] masks",
        "shown_masks = Unsqueeze (shown, space) masks = Mul (mask_rows, shown_masks)",
    ),
    "": ("", ""),
    "keypoints": (
        f", float[{{n}}, {ROWS}, {len(SKELETON.names)}, 3] keypoints",
        """wh_sizes = Gather <axis = 1> (image_sizes, wh)
        scales = Concat <axis = 1> (wh_sizes, shown_rows)
        point_scales = Unsqueeze (scales, inner)
        keypoints = Mul (point_rows, point_scales)""",
    ),
}

Write = Callable[..., Path]


Ended = namedtuple("Ended", "code out err")  # a program: exit code, stdout, stderr


def make_contract(**changes: Any) -> Contract:
    """The tiny model's contract, with changes: fields of `Contract`, of `Canvas` and of `InstancesOptions`, `batch`,
    `precision` and `details` by name, mean and std, mask_size, mask_threshold, checkpoint_sha256."""
    config = {"backbone": "none", "anchor_ratios": [0.5, 1.0, 2.0]}

    def given(kind: type, **defaults: Any) -> Any:
        names = {field.name for field in dataclasses.fields(kind)} & changes.keys()
        return kind(**defaults | {name: changes.pop(name) for name in names})

    canvas = given(
        Canvas, min_size_px=64, max_size_px=96, stride=32, height_px=None, width_px=None, dtype="uint8"
    )
    grid = BoxGrid(
        changes.pop("mask_size", MASK_SIZE),
        changes.pop("mask_threshold", 0.5),
        changes.pop("paste", "torchvision"),
    )
    instances = given(
        InstancesOptions,
        score_threshold=0.05,
        nms_threshold=0.5,
        max_detections=ROWS,
        rows="fixed",
        masks=grid,
    )
    batch = changes.pop("batch", None)
    fields: dict[str, Any] = {
        "task": "instances",
        "family": "mask_rcnn",
        "config": config,
        "classes": CLASSES,
        "canvas": canvas,
        "normalise": given(Normalise, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        "inputs": image_inputs(canvas, batch),
        "outputs": instances.tensors(batch, canvas, len(changes.get("classes", CLASSES))),
        "options": instances,
        "inside": INSIDE,
        "layers": LAYERS,
        "precision": Precision(changes.pop("precision", "fp32"), changes.pop("details", {})),
        "origin": given(Origin, toolkit_version="0.1.0", checkpoint_sha256="0" * 64),
    }
    return Contract(**fields | changes)


def disc() -> np.ndarray:
    """(M, M) probability: certain in the middle, fading through 0.5 before the box's edge."""
    y, x = np.mgrid[:MASK_SIZE, :MASK_SIZE] - (MASK_SIZE - 1) / 2
    return (1 / (1 + np.exp(3 * (np.hypot(x, y) - 3)))).astype(np.float32)


def outputs_of(contract: Contract) -> str:
    """What the tiny model gives of each object, beside its box."""
    return "masks" if contract.options.masks else "keypoints" if contract.options.keypoints else ""


def tiny_model(contract: Contract, **answers: object) -> onnx.ModelProto:
    """Gives BOXES, SCORES, LABELS (or others as `answers`) for any picture but a black one: nothing there."""
    c, n = contract.canvas, contract.batch or "N"
    pixel = {"uint8": "uint8", "float32": "float"}[c.dtype]
    last_output, last_node = LAST[outputs_of(contract)]
    head = f"""
    <ir_version: 9, opset_import: ["": 18]>
    tiny ({pixel}[{n}, {c.height_px or "H"}, {c.width_px or "W"}, 3] images, float[{n}, 2] image_sizes) =>
        (int32[{n}] num_detections, float[{n}, {ROWS}, 4] boxes, float[{n}, {ROWS}] scores,
         int32[{n}, {ROWS}] labels{last_output.format(n=n)})
    <int64[3] space = {{1, 2, 3}}, int64[2] inner = {{1, 2}}, int64[1] last = {{1}},
     int64[4] whwh = {{1, 0, 1, 0}}, int64[2] wh = {{1, 0}}, float zero = {{0}}, int32 count = {{{len(SCORES)}}}>"""
    body = """{
        floats = Cast <to = 1> (images)
        brightest = ReduceMax <keepdims = 0> (floats, space)
        lit = Greater (brightest, zero)
        found = Cast <to = 6> (lit)
        shown = Cast <to = 1> (lit)
        num_detections = Mul (found, count)
        sizes = Gather <axis = 1> (image_sizes, whwh)
        size_rows = Unsqueeze (sizes, last)
        all_boxes = Mul (box_rows, size_rows)
        shown_boxes = Unsqueeze (shown, inner)
        boxes = Mul (all_boxes, shown_boxes)
        shown_rows = Unsqueeze (shown, last)
        scores = Mul (score_rows, shown_rows)
        found_rows = Unsqueeze (found, last)
        labels = Mul (label_rows, found_rows)
    """
    model = onnx.parser.parse_model(head + body + last_node + "}")
    rows = {"box_rows": BOXES, "score_rows": SCORES, "label_rows": LABELS}
    kind = outputs_of(contract)
    rows |= {"masks": {"mask_rows": [disc()] * len(SCORES)}, "keypoints": {"point_rows": POINTS}}.get(
        kind, {}
    )
    rows |= answers
    for name, values in rows.items():
        table = np.zeros((1, ROWS, *np.shape(values)[1:]), np.int32 if name == "label_rows" else np.float32)
        table[0, : len(SCORES)] = values
        model.graph.initializer.append(onnx.numpy_helper.from_array(table, name))
    return model


@pytest.fixture(scope="session")
def contract_with() -> Callable[..., Contract]:
    """The tiny model's contract, with changes; the canvas's fields are given like the others."""
    return make_contract


@pytest.fixture(scope="session")
def write_model(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Writes the tiny model with the contract, a text in its place, or none; gives its path."""
    folder = tmp_path_factory.mktemp("models")

    def write(name: str = "model.onnx", contract: Contract | str | None = None, **answers: object) -> Path:
        promise = contract if isinstance(contract, Contract) else make_contract()
        text = contract if isinstance(contract, str) else promise.to_json()
        model = tiny_model(promise, **answers)
        if text:
            model.metadata_props.add(key=METADATA_KEY, value=text)
        path = folder / f"{len(list(folder.iterdir()))}" / name
        path.parent.mkdir()
        onnx.save_model(model, path)
        return path

    return write


@pytest.fixture(scope="session")
def tiny_onnx(write_model: Write) -> Path:
    """Three detections in every picture that is not black: toothbrush 0.9, cat 0.8, car 0.3."""
    return write_model()


@pytest.fixture(scope="session")
def tiny_session(tiny_onnx: Path) -> Session:
    return open_session(tiny_onnx)


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """(48, 64, 3) uint8: ramps, so that a flip, a shift or a swapped channel shows."""
    y, x = np.mgrid[:48, :64]
    return np.stack([4 * x, 5 * y, 40 + 2 * x + y], axis=2).astype(np.uint8)


@pytest.fixture
def picture_file(picture: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    assert cv2.imwrite(str(path), picture[:, :, ::-1])
    return path


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs a stage's main() in this process: command(maskrt.runtime.infer.main, "model.onnx", …)."""

    def execute(main: Callable[[list[str]], None], *args: object) -> Ended:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in args])
        out, err = capfd.readouterr()
        return Ended(int(end.value.code or 0), out, err)

    return execute


@pytest.fixture(scope="session")
def program() -> Callable[..., Ended]:
    """Runs a program of its own in the repository: program(sys.executable, "runtime/infer.py", …)."""

    def execute(*args: object) -> Ended:
        options = {"cwd": REPOSITORY, "env": {**os.environ, "COLUMNS": "120"}, "timeout": 120}
        done = subprocess.run([str(a) for a in args], capture_output=True, text=True, **options)
        return Ended(done.returncode, done.stdout, done.stderr)

    return execute


@pytest.fixture(scope="session")
def without(program: Callable[..., Ended]) -> Callable[..., Ended]:
    """Runs a module, or Python code, as if some packages were not installed."""

    def execute(hidden: set[str], *args: object, code: str = "") -> Ended:
        action = code or f"runpy.run_module({args[0]!r}, run_name='__main__', alter_sys=True)"
        text = HIDE_AND_RUN.format(hidden=hidden, arguments=[str(a) for a in args], action=action)
        return program(sys.executable, "-c", text)

    return execute


@pytest.fixture
def in_browser(tmp_path: Path) -> Callable[[str], tuple[str, str]]:
    """Opens a page from disk without a network in headless Chromium (Debian's package `chromium`); gives the
    document as it then is, and what the console says."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here: apt-get install chromium")

    def show(text: str) -> tuple[str, str]:
        path = tmp_path / "shown.html"
        path.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [
                chromium,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--host-resolver-rules=MAP * ~NOTFOUND",
                "--enable-logging=stderr",
                f"--user-data-dir={tmp_path / 'profile'}",
                "--dump-dom",
                path.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=240,
        )
        console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
        return html.unescape(done.stdout), console

    return show
