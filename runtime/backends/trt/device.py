"""CUDA through cuda-python alone: checked calls with named errors, memory, streams, graphs.

The process's first GPU is used; CUDA_VISIBLE_DEVICES selects it.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import platform
import re
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from maskrt.runtime.errors import MaskrtError, MissingDependencyError

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
    """Failed CUDA call: the function, CUDA's name and text for the error, and what to do."""


@functools.cache
def cudart() -> ModuleType:
    """Module of the CUDA runtime in cuda-python, which 12.6 moved."""
    for name in ("cuda.bindings.runtime", "cuda.cudart"):
        try:
            return importlib.import_module(name)
        except ImportError as error:
            last = error
    raise MissingDependencyError(
        f"TensorRT engines are run with cuda-python, which is not installed ({last}). Install it: "
        "pip install cuda-python (on a Jetson: docs/jetson.md says which version)"
    )


@functools.cache
def driver() -> ctypes.CDLL:
    """Module of CUDA's driver. There is one wherever a stream could be created."""
    return ctypes.CDLL("libcuda.so.1")


def call(function: str, *arguments: Any) -> Any:
    """Call a function of the CUDA runtime by name and return its value (a tuple of several, None for none).

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
    """First GPU and its CUDA. The versions are CUDA's, as in "12.6"."""

    name: str
    compute_capability: str  # "8.7"
    cuda_version: str  # of the CUDA runtime that cuda-python brings
    driver_version: str  # the newest CUDA that the driver knows
    memory_bytes: int
    free_bytes: int  # of the machine's memory, where that is the GPU's too
    shares_memory: bool = False  # with the CPU, as on a Jetson


def describe_gpu() -> Gpu:
    """Describe the first GPU. Raises CudaError where none answers, MissingDependencyError without
    cuda-python."""
    call("cudaGetDeviceCount")
    properties = call("cudaGetDeviceProperties", 0)
    free_bytes, memory_bytes = call("cudaMemGetInfo")
    shares_memory = gpu_shares_memory()
    if shares_memory:
        free_bytes = max(free_bytes, available_bytes())
    return Gpu(
        name=properties.name.decode().rstrip("\0"),
        compute_capability=f"{properties.major}.{properties.minor}",
        cuda_version=_version(call("cudaRuntimeGetVersion")),
        driver_version=_version(call("cudaDriverGetVersion")),
        memory_bytes=memory_bytes,
        free_bytes=free_bytes,
        shares_memory=shares_memory,
    )


def gpu_shares_memory() -> bool:
    """True if CPU and GPU share one memory, as on a Jetson. Raises CudaError without a GPU."""
    return bool(call("cudaDeviceGetAttribute", cudart().cudaDeviceAttr.cudaDevAttrIntegrated, 0))


def available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Memory that programs can have without swapping, 0 where the system does not report it.

    cudaMemGetInfo counts free pages alone. The files that Linux caches in memory give way on demand, and on a
    machine with shared memory they are most of it (proc(5), MemAvailable).
    """
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB", meminfo.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


class Resource:
    """CUDA resource that is released by `close`, by Python's garbage collector, or at exit."""

    def __init__(self, release: str, handle: Any) -> None:
        # After a lost GPU this fails too, and there is nothing to be done.
        self._finalizer = weakref.finalize(self, getattr(cudart(), release), handle)

    def close(self) -> None:
        """Release it now; a second call does nothing."""
        self._finalizer()


class DeviceMemory(Resource):
    """Memory on the GPU: `size_bytes` from `address` on."""

    def __init__(self, size_bytes: int) -> None:
        """Raises CudaError, with a readable text, where there is not enough."""
        self.size_bytes = size_bytes
        self.address = int(call("cudaMalloc", max(size_bytes, 1)))
        super().__init__("cudaFree", self.address)


class Stream(Resource):
    """CUDA stream that waits for no other; `handle` is its number."""

    def __init__(self) -> None:
        self._stream = call("cudaStreamCreateWithFlags", cudart().cudaStreamNonBlocking)
        self.handle = int(self._stream)
        super().__init__("cudaStreamDestroy", self._stream)

    def to_device(self, source: int, target: int, size_bytes: int) -> None:
        """Copy from pinned memory, address to address; returns at once."""
        self._copy(target, source, size_bytes, "cudaMemcpyHostToDevice")

    def to_host(self, source: int, target: int, size_bytes: int) -> None:
        """Copy back into pinned memory; returns at once."""
        self._copy(target, source, size_bytes, "cudaMemcpyDeviceToHost")

    def _copy(self, target: int, source: int, size_bytes: int, kind: str) -> None:
        direction = getattr(cudart().cudaMemcpyKind, kind)
        call("cudaMemcpyAsync", target, source, size_bytes, direction, self._stream)

    def wait(self) -> None:
        """Wait until all work on the stream is done, while other Python threads run.

        A kernel that failed raises CudaError here. The call goes through ctypes, which releases Python's
        lock: cuda-python before 12.9.1 holds it, and no other thread could prepare the next call.
        """
        driver().cuStreamSynchronize(ctypes.c_void_p(self.handle))  # CUstream and cudaStream_t are the same
        call("cudaStreamSynchronize", self._stream)  # returns at once, and names what failed

    def time_ms(self, work: Callable[[], None]) -> float:
        """Time that the GPU takes for the work that `work` puts on this stream; waits for it."""
        start, end = _Event(), _Event()
        call("cudaEventRecord", start.handle, self._stream)
        work()
        call("cudaEventRecord", end.handle, self._stream)
        self.wait()
        return float(call("cudaEventElapsedTime", start.handle, end.handle))

    def capture(self, work: Callable[[], None]) -> CudaGraph:
        """Record the work that `work` puts on this stream, without running it.

        The restrictions of a capture apply to this thread alone. Raises CudaError where CUDA refuses, and
        what `work` raises; the stream is usable again either way.
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


class _Event(Resource):
    """CUDA event: a point in a stream's work."""

    def __init__(self) -> None:
        self.handle = call("cudaEventCreate")
        super().__init__("cudaEventDestroy", self.handle)


class CudaGraph(Resource):
    """Recorded work, which `launch` puts on its stream as a whole."""

    def __init__(self, executable: Any, stream: Any) -> None:
        self._executable, self._stream = executable, stream
        super().__init__("cudaGraphExecDestroy", executable)

    def launch(self) -> None:
        """Run the recorded work once more, on the same addresses."""
        call("cudaGraphLaunch", self._executable, self._stream)
