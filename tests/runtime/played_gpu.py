"""A GPU and TensorRT, played: CUDA's calls over the host's memory, and an engine that is a function of arrays.

What runs over them is the real session, its lanes, buffers, graphs and copies. Work is done when it is put on
a stream, and in a capture it is recorded; so nothing is shown of what needs a wait, and no time means anything.
"""

from __future__ import annotations

import ctypes
import enum
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from maskrt.runtime.backends.trt import device
from maskrt.runtime.backends.trt import execution as trt_execution
from maskrt.runtime.backends.trt import library as trt_library
from maskrt.runtime.backends.trt import session as trt_session
from maskrt.runtime.backends.trt.device import PLATFORM
from maskrt.runtime.backends.trt.engine_file import write_engine
from maskrt.runtime.contract import INPUT_NAMES, Contract
from tests.runtime.engines import make_header

KINDS = {"uint8": "UINT8", "float32": "FLOAT", "float16": "HALF", "int32": "INT32"}
Arrays = dict[str, np.ndarray]
Function = Callable[[Arrays], Arrays]


class Status(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2


class PlayedCuda:
    """CUDA's runtime as far as it is used. `copied`: "to device" or "to host", from which address, bytes."""

    cudaHostAllocDefault, cudaHostAllocMapped, cudaStreamNonBlocking = 0, 2, 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice="to device", cudaMemcpyDeviceToHost="to host")
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaDeviceAttr = SimpleNamespace(cudaDevAttrIntegrated=18)

    def __init__(self, *, integrated: bool = False, free_bytes: int = 4 << 30) -> None:
        self.integrated, self.free_bytes = integrated, free_bytes
        self.memory: dict[int, Any] = {}
        self.copied: list[tuple[str, int, int]] = []
        self.launches = 0
        self.room = 1 << 40  # what cudaMalloc still gives, in bytes
        self._capturing: dict[int, list[Callable[[], None]]] = {}
        self._lock = threading.Lock()

    def put(self, stream: Any, work: Callable[[], None]) -> None:
        """Do it now, or record it where the stream is being captured."""
        recorded = self._capturing.get(int(stream))
        work() if recorded is None else recorded.append(work)

    def array(self, address: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """What lies there."""
        size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = (ctypes.c_uint8 * size_bytes).from_address(address)
        return np.frombuffer(memory, dtype).reshape(shape)

    def _allocate(self, size_bytes: int) -> tuple[Status, int]:
        memory = ctypes.create_string_buffer(b"\xa5" * size_bytes, size_bytes)  # never zero by chance
        with self._lock:
            self.memory[ctypes.addressof(memory)] = memory
        return Status.cudaSuccess, ctypes.addressof(memory)

    def _free(self, address: int) -> tuple[Status]:
        with self._lock:
            del self.memory[address]
        return (Status.cudaSuccess,)

    def cudaMalloc(self, size_bytes: int) -> tuple[Status, int]:
        if size_bytes > self.room:
            return Status.cudaErrorMemoryAllocation, 0
        self.room -= size_bytes
        return self._allocate(size_bytes)

    def cudaHostAlloc(self, size_bytes: int, flags: int) -> tuple[Status, int]:
        assert flags == (self.cudaHostAllocMapped if self.integrated else self.cudaHostAllocDefault)
        return self._allocate(size_bytes)

    def cudaHostGetDevicePointer(self, address: int, _: int) -> tuple[Status, int]:
        assert self.integrated
        return Status.cudaSuccess, address

    cudaFree = cudaFreeHost = _free

    def cudaMemcpyAsync(
        self, target: int, source: int, size_bytes: int, kind: str, stream: int
    ) -> tuple[Status]:
        def copy() -> None:
            self.copied.append((kind, source, size_bytes))
            ctypes.memmove(target, source, size_bytes)

        self.put(stream, copy)
        return (Status.cudaSuccess,)

    def cudaStreamCreateWithFlags(self, _: int) -> tuple[Status, int]:
        return self._allocate(1)

    cudaStreamDestroy = _free

    def cudaStreamSynchronize(self, _: int) -> tuple[Status]:
        return (Status.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream: int, _: int) -> tuple[Status]:
        self._capturing[stream] = []
        return (Status.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Status, Any]:
        return Status.cudaSuccess, self._capturing.pop(stream)

    def cudaGraphInstantiate(self, graph: Any, _: int) -> tuple[Status, Any]:
        return Status.cudaSuccess, list(graph)

    def cudaGraphLaunch(self, graph: Any, _: int) -> tuple[Status]:
        self.launches += 1
        for work in graph:
            work()
        return (Status.cudaSuccess,)

    def cudaGraphDestroy(self, _: Any) -> tuple[Status]:
        return (Status.cudaSuccess,)

    cudaGraphExecDestroy = cudaGraphDestroy

    def cudaGetErrorString(self, status: Status) -> tuple[Status, bytes]:
        return Status.cudaSuccess, status.name.encode()

    def cudaGetDeviceCount(self) -> tuple[Status, int]:
        return Status.cudaSuccess, 1

    def cudaGetDeviceProperties(self, _: int) -> tuple[Status, Any]:
        return Status.cudaSuccess, SimpleNamespace(name=b"Orin\0", major=8, minor=7)

    def cudaMemGetInfo(self) -> tuple[Status, int, int]:
        return Status.cudaSuccess, self.free_bytes, 8 << 30

    def cudaDeviceGetAttribute(self, *_: int) -> tuple[Status, int]:
        return Status.cudaSuccess, int(self.integrated)

    def cudaRuntimeGetVersion(self) -> tuple[Status, int]:
        return Status.cudaSuccess, 12060

    cudaDriverGetVersion = cudaRuntimeGetVersion


class PlayedContext:
    """TensorRT's execution context over an engine that is a function."""

    def __init__(self, cuda: PlayedCuda, engine: PlayedEngine) -> None:
        self._cuda, self._engine = cuda, engine
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def set_optimization_profile_async(self, *_: int) -> bool:
        return True

    def set_input_shape(self, key: str, shape: tuple[int, ...]) -> bool:
        self._shapes[key] = shape
        return True

    def infer_shapes(self) -> list[str]:
        inputs = {key: np.zeros(self._shapes[key], self._engine.dtypes[key]) for key in INPUT_NAMES}
        self._shapes |= {key: value.shape for key, value in self._engine.function(inputs).items()}
        return []

    def get_tensor_shape(self, key: str) -> tuple[int, ...]:
        return self._shapes[key]

    def set_tensor_address(self, key: str, address: int) -> bool:
        self._addresses[key] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        addresses = dict(self._addresses)  # as they are now: a graph keeps them
        self._cuda.put(stream, lambda: self._execute(addresses))
        return True

    def _execute(self, addresses: dict[str, int]) -> None:
        there = {
            key: self._cuda.array(address, self._shapes[key], self._engine.dtypes[key])
            for key, address in addresses.items()
        }
        for key, value in self._engine.function({key: there[key] for key in INPUT_NAMES}).items():
            there[key][:] = value


class PlayedEngine:
    """A plan that is loaded. dtypes: of the tensors, by name."""

    device_memory_size = 1 << 20

    def __init__(self, cuda: PlayedCuda, function: Function, dtypes: dict[str, str]) -> None:
        self._cuda, self.function, self.dtypes, self.num_io_tensors = cuda, function, dtypes, len(dtypes)

    def get_tensor_name(self, index: int) -> str:
        return list(self.dtypes)[index]

    def get_tensor_dtype(self, key: str) -> Any:
        return SimpleNamespace(name=KINDS[self.dtypes[key]])

    def create_execution_context_without_device_memory(self) -> PlayedContext:
        return PlayedContext(self._cuda, self)


class PlayedTensorRt:
    """The module, of which the runtime alone is used. `plans`: what it was given to load, each once TensorRT's own
    plugins are there."""

    __version__ = "10.3.0"

    def __init__(self, engine: PlayedEngine | None) -> None:
        self.engine, self.plans, self.own_plugins = engine, [], False

    def Runtime(self, _: Any) -> Any:
        return SimpleNamespace(deserialize_cuda_engine=self._load)

    def init_libnvinfer_plugins(self, _: Any, namespace: str) -> bool:
        self.own_plugins = True
        return True

    def _load(self, plan: Any) -> PlayedEngine | None:
        assert self.own_plugins, "a DeformConv in the plan would not be found"
        self.plans.append(plan)
        return self.engine


def play(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    contract: Contract,
    function: Function,
    cuda: PlayedCuda | None = None,
    **header: Any,
) -> tuple[Path, PlayedCuda, PlayedTensorRt]:
    """An engine file that gives what the function gives, on a machine that has a GPU and TensorRT."""
    cuda = cuda or PlayedCuda()
    given = function(
        {"images": np.zeros((1, 32, 32, 3), np.uint8), "image_sizes": np.ones((1, 2), np.float32)}
    )
    dtypes = {"images": contract.canvas.dtype, "image_sizes": "float32"}
    dtypes |= {key: str(value.dtype) for key, value in given.items()}
    trt = PlayedTensorRt(PlayedEngine(cuda, function, dtypes))
    logger = SimpleNamespace(errors=[])
    for module, name, value in (
        (device, "cudart", lambda: cuda),
        (device, "driver", lambda: SimpleNamespace(cuStreamSynchronize=lambda _: 0)),
        (trt_session, "import_tensorrt", lambda: trt),
        (trt_execution, "import_tensorrt", lambda: trt),
        (trt_library, "logger", lambda: logger),
        (trt_session, "logger", lambda: logger),
    ):
        monkeypatch.setattr(module, name, value)
    path = folder / "model.engine"
    fields = {"profiles": (), "plugin_embedded": True, "platform": PLATFORM} | header
    write_engine(path, make_header(contract=contract, **fields), b"plan")
    return path, cuda, trt
