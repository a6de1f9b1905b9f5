"""Backend TensorRT: runs an engine file on an NVIDIA GPU, with numpy and cuda-python alone."""

from __future__ import annotations

import os
import queue
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from maskrt.runtime.backends.session import Outputs, Session
from maskrt.runtime.backends.trt.device import PLATFORM, CudaError, DeviceMemory, Stream, describe_gpu
from maskrt.runtime.backends.trt.engine_file import EngineHeader, Shape, read_header, read_plan
from maskrt.runtime.backends.trt.engine_fit import (
    Machine,
    check_fit,
    choose_profile,
    rebuild_command,
    tensor_shapes,
)
from maskrt.runtime.backends.trt.execution import Execution, activation_bytes, trt_failure
from maskrt.runtime.backends.trt.library import TensorRtError, clear_errors, import_tensorrt, logger
from maskrt.runtime.backends.trt.pinned import PinnedPool
from maskrt.runtime.backends.trt.plugins import load_for_engine
from maskrt.runtime.commands.cli import say
from maskrt.runtime.contract import INPUT_NAMES, PREFIX, Stages
from maskrt.runtime.errors import MaskrtError, ModelError

SHAPES_KEPT = 8  # of a lane: a shape's buffers are a few MB, its context and graph about as much
DTYPES = {"UINT8": "uint8", "FLOAT": "float32", "HALF": "float16", "INT32": "int32"}  # TensorRT's: numpy's


class TrtSession(Session):
    """Session on TensorRT. `infer` may be called from several threads; its outputs are copies.

    `contexts` calls run at a time, each with a stream and activations of its own, created when first needed;
    further calls wait. Loading an engine runs the code in it: load only engines you trust.
    """

    def __init__(self, path: str | Path, *, contexts: int = 1, cuda_graph: bool = True) -> None:
        """Load `path`. cuda_graph: capture a shape when it comes a second time.

        Raises ModelError (no engine file, of another machine, or refused), ContractError, CudaError without
        a GPU, MissingDependencyError, and PluginError, each with the remedy.
        """
        self.name = str(path)
        self.header = read_header(path)
        self.contract = self.header.contract
        trt = import_tensorrt()
        gpu = describe_gpu()  # first of all that touches the GPU: TensorRT 8.6 crashes where there is none
        check_fit(path, self.header, Machine(trt.__version__, gpu.name, gpu.compute_capability, PLATFORM))
        trt.init_libnvinfer_plugins(logger(), "")  # TensorRT's own RoiAlign and DeformConv are plugins too
        if self.header.operators != "body" and not self.header.plugin_embedded:
            load_for_engine(self.header.plugin_sha256, Path(path))
        self._engine = _deserialise(trt, path, self.header)
        self._stages = _check_tensors(self.name, self._engine, self.header)
        self.has_stages = {PREFIX + stage for stage in self.contract.inside.names} <= self._stages.keys()
        self._options = _Options(cuda_graph, gpu.shares_memory)
        self._canvases = PinnedPool(mapped=gpu.shares_memory)
        self._lanes: queue.LifoQueue[_Lane | None] = queue.LifoQueue()  # the lane used last is the warmest
        self.lanes = contexts
        for _ in range(contexts):
            self._lanes.put(None)

    def empty_canvas(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Pinned memory, which the GPU copies from directly; on a Jetson it reads the images in place."""
        return self._canvases.empty(shape, dtype)

    def _run(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        outputs = self._run_engine(images, image_sizes)
        return Outputs({name: outputs[name] for name in self.contract.output_names})

    def _run_with_stages(self, images: NDArray, image_sizes: NDArray[np.float32]) -> tuple[Outputs, Stages]:
        if not self.has_stages:
            raise ModelError(
                f"{self.name}: an engine without its stages. Export with them and build it again: maskrt "
                f"export CHECKPOINT --with-stages -o MODEL.onnx, {rebuild_command(self.name, self.header)}"
            )
        outputs = self._run_engine(images, image_sizes)
        stages = {stage: outputs[PREFIX + stage] for stage in self.contract.inside.names}
        return Outputs({name: outputs[name] for name in self.contract.output_names}), stages

    def _run_engine(self, images: NDArray, image_sizes: NDArray[np.float32]) -> dict[str, NDArray]:
        feed = dict(zip(INPUT_NAMES, (images, image_sizes), strict=True))
        n, height, width = images.shape[:3]
        profile = choose_profile(self.name, self.header, (n, height, width))
        with self._borrowed_lane((n, height, width), profile) as lane:
            return lane.run((n, height, width), profile, feed)

    @contextmanager
    def _borrowed_lane(self, shape: Shape, profile: int) -> Iterator[_Lane]:
        """Borrow a lane exclusively; a new one has an execution for the shape already."""
        lane = self._lanes.get()
        try:
            if self._engine is None:
                raise ModelError(
                    f"{self.name}: this session is closed; open another: open_session({self.name!r})"
                )
            while lane is None:
                try:
                    lane = self._new_lane(shape, profile)
                except (CudaError, TensorRtError) as error:
                    if not self._can_do_with_less(error):
                        raise
                lane = lane or self._lanes.get()  # outside, since an error in hand keeps what failed alive
            yield lane
        finally:
            self._lanes.put(lane)

    def _new_lane(self, shape: Shape, profile: int) -> _Lane:
        lane = _Lane(self.name, self._engine, self.header, self._stages, self._options)
        try:
            lane.execution(shape, profile)
        except BaseException:
            lane.close()  # what it has of the memory is for the others
            raise
        return lane

    def _can_do_with_less(self, error: MaskrtError) -> bool:
        """Drop a lane that there is no memory for. True if another lane can serve its calls."""
        with self._options.creating:
            if self.lanes == 1:
                return False
            self.lanes -= 1
        say(f"{self.name}: calls at a time: {self.lanes}, not {self.lanes + 1}, since {error}")
        return True

    def close(self) -> None:
        """Release the GPU's memory, once no call is running. Garbage collection does the same."""
        lanes = [self._lanes.get() for _ in range(self.lanes)]
        self._engine = None
        self._canvases.close()
        for lane in lanes:
            if lane is not None:
                lane.close()
            self._lanes.put(None)


@dataclass
class _Options:
    """Settings that the lanes of a session share."""

    cuda_graph: bool  # until a capture is refused
    shared: bool  # CPU and GPU share one memory
    # Threads may run contexts at once, but not ask one engine for them.
    creating: threading.Lock = field(default_factory=threading.Lock)


class _Lane:
    """Lane that runs the engine, one call at a time: a stream, activations, and the shapes seen last."""

    def __init__(
        self,
        name: str,
        engine: Any,
        header: EngineHeader,
        stages: dict[str, str],
        options: _Options,
    ) -> None:
        self._name, self._engine, self._header, self._stages = name, engine, header, stages
        self._options = options
        self._stream = Stream()
        self._activations = DeviceMemory(activation_bytes(engine))
        self._shapes: OrderedDict[Shape, Execution] = OrderedDict()

    def execution(self, shape: Shape, profile: int) -> Execution:
        if shape in self._shapes:
            self._shapes.move_to_end(shape)
        else:
            if len(self._shapes) == SHAPES_KEPT:
                self._shapes.popitem(last=False)[1].close()
            contract = self._header.contract
            tensors = tensor_shapes(contract, shape)
            inputs = {tensor.name: tensors[tensor.name] for tensor in contract.inputs}
            promised = {tensor.name: tensors[tensor.name] for tensor in contract.outputs}
            outputs = {**promised, **{key: (None, dtype) for key, dtype in self._stages.items()}}
            counted = {tensor.name: tensor.counted_by for tensor in contract.outputs if tensor.counted_by}
            with self._options.creating:
                self._shapes[shape] = Execution(
                    self._name,
                    self._engine,
                    self._stream,
                    self._activations,
                    profile,
                    inputs,
                    outputs,
                    counted=counted,
                    shared=self._options.shared,
                )
        return self._shapes[shape]

    def run(self, shape: Shape, profile: int, feed: dict[str, NDArray]) -> dict[str, NDArray]:
        execution = self.execution(shape, profile)
        execution.take(feed)
        self._capture(execution)
        return execution.give()

    def _capture(self, execution: Execution) -> None:
        if not self._options.cuda_graph or execution.captured or not execution.seen:
            return
        try:
            execution.capture()
        except MaskrtError as error:
            say(f"{self._name}: running without a CUDA graph, since its capture was refused: {error}")
            self._options.cuda_graph = False

    def close(self) -> None:
        for execution in self._shapes.values():
            execution.close()
        self._shapes.clear()
        self._activations.close()
        self._stream.close()


def _deserialise(trt: Any, path: str | Path, header: EngineHeader) -> Any:
    runtime = trt.Runtime(logger())
    if header.operators == "plugin" or header.version_compatible:  # the plan may hold a library
        runtime.engine_host_code_allowed = True
    clear_errors()
    # A copy: TensorRT's Python package asks for the buffer without Python's lock (8.6 and 10.3, pyCore.cpp).
    # Of bytes that touches nothing but a count of references that are all ours.
    engine = runtime.deserialize_cuda_engine(bytes(read_plan(path)))
    if engine is None:
        raise trt_failure(
            f"{path}: TensorRT {trt.__version__} refuses its plan. {_unpacking(header)}Build it again: "
            f"{rebuild_command(path, header)}"
        )
    return engine


def _unpacking(header: EngineHeader) -> str:
    """What to do where a plan holds a library, and the folder that it is unpacked to runs no programs."""
    folder = tempfile.gettempdir()  # of $TMPDIR, as TensorRT's (IRuntime::setTemporaryDirectory)
    if not (header.plugin_embedded or header.version_compatible):
        return ""
    if not os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return ""
    return (
        f"It holds a library, which TensorRT unpacks into {folder}, and that is mounted noexec: name a "
        "folder from which programs run, TMPDIR=DIR. Or it is another's plan. "
    )


def _check_tensors(name: str, engine: Any, header: EngineHeader) -> dict[str, str]:
    """The dtypes of the stages that the engine gives, by name (`Contract.inside`).

    All its other inputs and outputs must be the contract's, or its plan belongs to another header.
    """
    expected = {key: dtype for key, (_, dtype) in tensor_shapes(header.contract, (1, 1, 1)).items()}
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    found = {key: DTYPES.get(kind := engine.get_tensor_dtype(key).name, kind) for key in names}
    stages = {key: found.pop(key) for key in names if key.startswith(PREFIX)}
    if found != expected:
        raise ModelError(
            f"{name}: its tensors are {found}, its contract says {expected}. Build it again: "
            f"{rebuild_command(name, header)}"
        )
    return stages
