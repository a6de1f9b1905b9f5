"""CUDA for the runtime, through cuda-python alone: calls that fail with a name, memory, streams, graphs.

The first GPU of the process is used; CUDA_VISIBLE_DEVICES says which one that is.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import platform
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from runtime.errors import MaskrtError, MissingDependencyError

PLATFORM = f"{sys.platform}-{platform.machine()}"  # engines and plugin libraries fit one platform

LOST = (
    "The GPU is lost to this process: start it again. If that fails, look at nvidia-smi and the kernel's log "
    "(dmesg, Xid), and restart the machine."
)
REMEDIES = {
    "cudaErrorInsufficientDriver": "No NVIDIA driver, or one older than this CUDA: maskrt doctor",
    "cudaErrorNoDevice": "This process sees no GPU; look at CUDA_VISIBLE_DEVICES and: maskrt doctor",
    "cudaErrorMemoryAllocation": "The GPU's memory is full: end other programs on it, or build an engine of "
    "smaller shapes: maskrt build MODEL.onnx --max NxHxW",
    "cudaErrorDevicesUnavailable": "Another program holds the GPU alone: end it, or mend the compute mode",
    "cudaErrorIllegalAddress": LOST,
    "cudaErrorLaunchFailure": LOST,
    "cudaErrorLaunchTimeout": LOST,
    "cudaErrorHardwareStackError": LOST,
    "cudaErrorECCUncorrectable": LOST,
    "cudaErrorUnknown": LOST,
}


class CudaError(MaskrtError):
    """A CUDA call that failed: the function, CUDA's name and words for the error, and what to do."""


@functools.cache
def cudart() -> ModuleType:
    """The CUDA runtime of cuda-python, whose place changed in 12.6."""
    for name in ("cuda.bindings.runtime", "cuda.cudart"):
        try:
            return importlib.import_module(name)
        except ImportError as error:
            last = error
    raise MissingDependencyError(
        f"TensorRT engines are run with cuda-python, which is not installed ({last}). Install it: "
        "pip install cuda-python (on a Jetson: docs/jetson.md says which version)"
    )


def call(function: str, *arguments: Any) -> Any:
    """Call a function of the CUDA runtime by name and give its value (a tuple of several, None for none).

    Raises CudaError.
    """
    try:
        status, *values = getattr(cudart(), function)(*arguments)
    except RuntimeError as error:  # cuda-python of CUDA 12.2 and 12.6 has no status for a missing driver
        raise CudaError(f"{function} failed: {error}. {REMEDIES['cudaErrorInsufficientDriver']}") from error
    if int(status) != 0:
        _, words = cudart().cudaGetErrorString(status)
        remedy = REMEDIES.get(status.name, "What CUDA sees here: maskrt doctor")
        raise CudaError(f"{function} failed: {status.name} ({int(status)}, {words.decode()}). {remedy}")
    return values[0] if len(values) == 1 else tuple(values) or None


@dataclass(frozen=True)
class Gpu:
    """The first GPU and the CUDA around it. The versions are CUDA's, as in "12.6"."""

    name: str
    compute_capability: str  # "8.7"
    cuda_version: str  # of the CUDA runtime that cuda-python brings
    driver_version: str  # the newest CUDA that the driver knows
    memory_bytes: int
    free_bytes: int  # on a Jetson the GPU shares it with everything else


def describe_gpu() -> Gpu:
    """The first GPU. Raises CudaError where none answers, MissingDependencyError without cuda-python."""
    call("cudaGetDeviceCount")
    properties = call("cudaGetDeviceProperties", 0)
    free_bytes, memory_bytes = call("cudaMemGetInfo")
    return Gpu(
        name=properties.name.decode().rstrip("\0"),
        compute_capability=f"{properties.major}.{properties.minor}",
        cuda_version=_version(call("cudaRuntimeGetVersion")),
        driver_version=_version(call("cudaDriverGetVersion")),
        memory_bytes=memory_bytes,
        free_bytes=free_bytes,
    )


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


class _Resource:
    """Something of CUDA's that is given back by `close`, or when Python forgets it, or at exit."""

    def __init__(self, release: str, handle: Any) -> None:
        self._finalizer = weakref.finalize(self, _release, release, handle)

    def close(self) -> None:
        """Give it back now; a second time does nothing."""
        self._finalizer()


def _release(function: str, handle: Any) -> None:
    getattr(cudart(), function)(handle)  # after a lost GPU this fails too, and there is nothing to be done


class DeviceMemory(_Resource):
    """Memory on the GPU, `size_bytes` of it from `address` on."""

    def __init__(self, size_bytes: int) -> None:
        """Raises CudaError, in words, where there is not enough."""
        self.size_bytes = size_bytes
        self.address = int(call("cudaMalloc", max(size_bytes, 1)))
        super().__init__("cudaFree", self.address)


class PinnedArray(_Resource):
    """An array in host memory that the GPU copies to and from by itself. `array` must not outlive it."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.address = int(call("cudaHostAlloc", max(size_bytes, 1), cudart().cudaHostAllocDefault))
        memory = (ctypes.c_uint8 * size_bytes).from_address(self.address)
        self.array: NDArray = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)
        super().__init__("cudaFreeHost", self.address)


class Stream(_Resource):
    """A stream of its own, which waits for no other; `handle` is its number."""

    def __init__(self) -> None:
        self._stream = call("cudaStreamCreateWithFlags", cudart().cudaStreamNonBlocking)
        self.handle = int(self._stream)
        super().__init__("cudaStreamDestroy", self._stream)

    def to_device(self, source: PinnedArray, target: DeviceMemory) -> None:
        """Copy a whole array; returns at once."""
        self._copy(target.address, source.address, source.array.nbytes, "cudaMemcpyHostToDevice")

    def to_host(self, source: DeviceMemory, target: PinnedArray) -> None:
        """Copy a whole array back; returns at once."""
        self._copy(target.address, source.address, target.array.nbytes, "cudaMemcpyDeviceToHost")

    def _copy(self, target: int, source: int, size_bytes: int, kind: str) -> None:
        direction = getattr(cudart().cudaMemcpyKind, kind)
        call("cudaMemcpyAsync", target, source, size_bytes, direction, self._stream)

    def wait(self) -> None:
        """Until everything put on it is done. A kernel that failed is told here, as CudaError."""
        call("cudaStreamSynchronize", self._stream)

    def time_ms(self, work: Callable[[], None]) -> float:
        """How long the GPU takes for what `work` puts on this stream; waits for it."""
        start, end = _Event(), _Event()
        call("cudaEventRecord", start.handle, self._stream)
        work()
        call("cudaEventRecord", end.handle, self._stream)
        self.wait()
        return float(call("cudaEventElapsedTime", start.handle, end.handle))

    def capture(self, work: Callable[[], None]) -> CudaGraph:
        """Record what `work` puts on this stream, without running it.

        Only this thread is held to what a capture forbids. Raises CudaError where CUDA refuses, and what
        `work` raises; the stream is usable again either way.
        """
        mode = cudart().cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call("cudaStreamBeginCapture", self._stream, mode)
        try:
            work()
            graph = call("cudaStreamEndCapture", self._stream)
        except BaseException:
            cudart().cudaStreamEndCapture(self._stream)  # where `work` failed, the capture is still under way
            raise
        try:
            return CudaGraph(call("cudaGraphInstantiate", graph, 0), self._stream)
        finally:
            call("cudaGraphDestroy", graph)


class _Event(_Resource):
    """A moment on a stream."""

    def __init__(self) -> None:
        self.handle = call("cudaEventCreate")
        super().__init__("cudaEventDestroy", self.handle)


class CudaGraph(_Resource):
    """Recorded work, put on its stream as a whole by `launch`."""

    def __init__(self, executable: Any, stream: Any) -> None:
        self._executable, self._stream = executable, stream
        super().__init__("cudaGraphExecDestroy", executable)

    def launch(self) -> None:
        """Run it once more, over the same addresses."""
        call("cudaGraphLaunch", self._executable, self._stream)
