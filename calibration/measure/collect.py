"""Runs a model over images and observes its inner tensors, in bounded memory.

ONNX Runtime returns the tensors as outputs, one image at a time; a histogram of each is kept. Progress is
saved every 30 seconds, so that an interrupted run continues where it was.
"""

from __future__ import annotations

import dataclasses
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from maskrt.calibration.decide.candidate import observed_tensors
from maskrt.calibration.decide.layers import Graph, multiply_adds
from maskrt.calibration.measure.convergence import Convergence
from maskrt.calibration.measure.images import CalibrationImage, batches
from maskrt.calibration.measure.observers import BINS, Observer
from maskrt.calibration.measure.scales import Key, Scales, TensorScale
from maskrt.runtime.backends.ort_session import WRONG_OPTIMISERS
from maskrt.runtime.commands.cli import say, track
from maskrt.runtime.contract import IMAGE_SIZES, IMAGES, Contract
from maskrt.runtime.errors import CalibrationError, MissingDependencyError, first_line
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.kinds import PARTIAL_RANGES
from maskrt.runtime.packages import install
from maskrt.runtime.preprocess import Batch

SAVE_EVERY_S = 30.0


def expose(model: ModelProto, tensors: list[str]) -> bytes:
    """The model, serialised, with `tensors` as its only outputs; `model` itself is left alone."""
    exposed = ModelProto()
    exposed.CopyFrom(model)
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    del exposed.graph.output[:]
    exposed.graph.output.extend(
        helper.make_tensor_value_info(t, types.get(t, TensorProto.FLOAT), None) for t in tensors
    )
    return exposed.SerializeToString()


def open_exposed(model: ModelProto, tensors: list[str]) -> Any:
    """An ONNX Runtime session on the CPU that gives `tensors`.

    Raises CalibrationError for a model that it cannot load.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            f"calibration needs onnxruntime. Install it: {install('calibrate')}"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # see runtime/backends/ort_session.py
    options.enable_cpu_mem_arena = False  # the outputs are handed over and freed; an arena would keep them
    try:
        return onnxruntime.InferenceSession(
            expose(model, tensors),
            sess_options=options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=WRONG_OPTIMISERS,
        )
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        raise CalibrationError(
            f"ONNX Runtime cannot load the model to be measured ({first_line(error)}). "
            "Export it again: maskrt export CHECKPOINT -o MODEL.onnx"
        ) from error


def measure(
    model: ModelProto,
    contract: Contract,
    images: list[CalibrationImage],
    key: Key,
    partial: Path,
) -> Scales:
    """Observe on every image the tensors that any plan for the float32 model needs.

    partial: the file that an interrupted run leaves; a run with the same key continues from it.
    """
    graph = Graph(model.graph)
    tensors = observed_tensors(graph)
    progress = Progress.resume(partial, key, tensors)
    session = open_exposed(model, tensors)
    if progress.done:
        say(f"{partial}: continues after {progress.done} of {len(images)} images.")
    saved = time.monotonic()
    left = images[progress.done :]
    for batch in track(batches(left, contract.canvas, contract.batch), "Calibrating", total=len(left)):
        progress.observe(session, batch, graph)
        if time.monotonic() - saved > SAVE_EVERY_S:
            progress.save(partial, key)
            saved = time.monotonic()
    if unseen := [name for name, seen in progress.observers.items() if not seen.batches]:
        raise CalibrationError(
            f"{len(unseen)} tensors were never computed, such as '{unseen[0]}': the model found no "
            "object in any calibration image. Use images with objects that it knows."
        )
    return Scales(
        key=key,
        images=len(images),
        tensors={name: TensorScale.of(seen) for name, seen in progress.observers.items()},
        multiply_adds={name: work / len(images) for name, work in progress.work.items()},
        convergence=tuple(progress.convergence.steps),
    )


@dataclasses.dataclass
class Progress:
    """What was observed so far, and on how many images."""

    done: int
    observers: dict[str, Observer]
    work: dict[str, float]
    convergence: Convergence = dataclasses.field(default_factory=Convergence)

    def observe(self, session: Any, batch: Batch, graph: Graph) -> None:
        """Observe one batch. Its tensors, up to gigabytes, are freed before the next one runs."""
        tensors = list(self.observers)
        values = session.run(tensors, {IMAGES: batch.images, IMAGE_SIZES: batch.image_sizes})
        seen = dict(zip(tensors, values, strict=True))
        for name, value in seen.items():
            self.observers[name].observe(value)
        for name, layer in graph.layers.items():
            work = sum(
                multiply_adds(node, seen[node.input[0]].shape, graph.weight_shape(node))
                for node in layer.nodes
            )
            self.work[name] = self.work.get(name, 0) + work / len(batch.images)
        self.done += 1
        if step := self.convergence.look(self.done, self.observers):
            say(str(step))

    @classmethod
    def resume(cls, path: Path, key: Key, tensors: list[str]) -> Progress:
        """The progress that an interrupted run saved at `path`; none of one with another key or tensors.

        A file that cannot be read is reported, and measuring begins anew.
        """
        fresh = cls(0, {name: Observer() for name in tensors}, {})
        if not path.is_file():
            return fresh
        try:
            with np.load(path, allow_pickle=False) as stored:
                state, histograms = json.loads(str(stored["state"])), stored["counts"]
            if state["key"] != dataclasses.asdict(key) or list(state["observers"]) != tensors:
                return fresh
            if histograms.shape != (len(tensors), BINS):
                raise ValueError(f"histograms of shape {histograms.shape}")
            observers = {
                name: Observer(**fields, counts=counts)
                for (name, fields), counts in zip(state["observers"].items(), histograms, strict=True)
            }
            convergence = Convergence.of_dict(state["convergence"])
            return cls(state["done"], observers, state["work"], convergence)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            say(f"{path}: not the ranges of an interrupted run ({error}); measuring begins anew.")
            return fresh

    def save(self, path: Path, key: Key) -> None:
        """Write the progress atomically."""
        fields = [field.name for field in dataclasses.fields(Observer) if field.name != "counts"]
        state = {
            "key": dataclasses.asdict(key),
            "done": self.done,
            "work": self.work,
            "convergence": self.convergence.to_dict(),
            "observers": {
                name: {field: getattr(seen, field) for field in fields}
                for name, seen in self.observers.items()
            },
        }
        counts = np.stack([seen.counts for seen in self.observers.values()])
        with atomic_path(path, PARTIAL_RANGES) as temporary, temporary.open("wb") as stream:
            np.savez(stream, state=json.dumps(state), counts=counts)
