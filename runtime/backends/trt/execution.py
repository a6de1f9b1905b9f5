"""Runs an engine on one input shape: the context, its buffers, and the CUDA graph over them.

A captured graph holds the addresses of the buffers and of the activations and the state of its context. So
TensorRT's developer guide ("CUDA Graphs") advises a context for each graph, with common memory: each shape
has its own context here, and shapes that take turns share the activations.

What a graph copies is fixed when it is captured: from where, to where, how much. Two copies depend on the
call, so they stand outside of the graph. Images are copied from the memory that preprocessing wrote them
into. For masks, only the rows that hold detections come back: of 100 rows of 28 by 28 cells mostly some tens
of kB in place of 314. That costs a second wait, since the count must be known. Small outputs come back whole,
inside the graph.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.backends.trt.buffers import Buffer
from maskrt.runtime.backends.trt.device import CudaGraph, DeviceMemory, Stream
from maskrt.runtime.backends.trt.library import TensorRtError, clear_errors, import_tensorrt, reported_errors
from maskrt.runtime.backends.trt.plugins import take_python_error
from maskrt.runtime.errors import MaskrtError

# Shape and dtype by name. An output without a shape has the one that TensorRT works out.
Inputs = dict[str, tuple[tuple[int, ...], str]]
Outputs = dict[str, tuple[tuple[int, ...] | None, str]]

SMALL_BYTES = 64 << 10  # copied whole: it takes no longer than the calls that would copy less
GRAPHS_KEPT = 16  # of one shape; more than one only where images are read where they lie


def trt_failure(what: str) -> MaskrtError:
    """Error of a call that TensorRT refused: what a plugin in Python raised, else TensorRT's message."""
    cause = take_python_error()
    if isinstance(cause, MaskrtError):
        return cause
    error = TensorRtError(f"{what}; {cause or reported_errors()}. What is installed here: maskrt doctor")
    error.__cause__ = cause
    return error


class Execution:
    """Execution of an engine on one shape: `take` inputs, then `give` outputs. Not thread-safe."""

    def __init__(
        self,
        name: str,
        engine: Any,
        stream: Stream,
        activations: DeviceMemory,
        profile: int,
        inputs: Inputs,
        outputs: Outputs,
        *,
        counted: dict[str, str] | None = None,
        shared: bool = False,
    ) -> None:
        """name: the engine file, for messages. Raises CudaError and TensorRtError.

        counted: outputs (N, D, …) of which the first rows alone are wanted, and the output (N,) that says how
        many. shared: CPU and GPU share one memory.
        """
        self._name, self._stream, self._counted = name, stream, counted or {}
        self._context = _create_context(name, engine, activations)
        self._inputs = inputs
        self._outputs = self._set_shapes(profile, outputs)
        self._buffers = {
            key: Buffer(*tensor, shared=shared) for key, tensor in (inputs | self._outputs).items()
        }
        self._whole = [
            key
            for key in self._outputs
            if key not in self._counted or self._buffers[key].size_bytes <= SMALL_BYTES
        ]
        self._bound: dict[str, int] = {}
        for key, buffer in self._buffers.items():
            self._bind(key, buffer.address)
        self._seen: set[tuple[int, ...]] = set()
        self._graphs: OrderedDict[tuple[int, ...], CudaGraph] = OrderedDict()

    def _bind(self, key: str, address: int) -> None:
        if self._bound.get(key) == address:
            return
        if not self._context.set_tensor_address(key, address):
            raise trt_failure(f"{self._name}: TensorRT does not take the buffer of '{key}'")
        self._bound[key] = address

    def _set_shapes(self, profile: int, outputs: Outputs) -> Inputs:
        """Set the inputs' shapes in the context; returns the outputs with theirs."""
        context = self._context
        clear_errors()
        if not context.set_optimization_profile_async(profile, self._stream.handle):
            raise trt_failure(f"{self._name}: TensorRT cannot use profile {profile}")
        self._stream.wait()
        for key, (shape, _) in self._inputs.items():
            if not context.set_input_shape(key, shape):
                raise trt_failure(f"{self._name}: TensorRT does not take '{key}' of {shape}")
        if not _infers_shapes(context):
            raise trt_failure(f"{self._name}: TensorRT cannot work out the output shapes")
        found = {key: tuple(context.get_tensor_shape(key)) for key in outputs}
        for key, (expected, _) in outputs.items():
            if -1 in found[key] or expected not in (None, found[key]):
                raise TensorRtError(
                    f"{self._name}: output '{key}' is {found[key]}, expected {expected or 'a fixed shape'}. "
                    "Export and build it again, with masks for all rows: maskrt export CHECKPOINT "
                    "--detections fixed"
                )
        return {key: (found[key], dtype) for key, (_, dtype) in outputs.items()}

    def take(self, feed: dict[str, NDArray]) -> None:
        """Start copying the inputs, by name, to the GPU. They must stay unchanged until `give` returns."""
        for key, array in feed.items():
            self._bind(key, self._buffers[key].take(self._stream, array))

    def give(self) -> dict[str, NDArray]:
        """Execute on the inputs taken and return copies of the outputs by name.

        Rows past the count are zero. Raises CudaError where a kernel or a copy failed, TensorRtError where
        TensorRT refused.
        """
        self._seen.add(self._place)
        if self.captured:
            self._graphs[self._place].launch()
        else:
            self._enqueue_or_fail()
        self._stream.wait()
        rows = {key: self._rows(key) for key in self._counted}
        if late := [key for key in self._counted if key not in self._whole]:
            for key in late:
                self._copy_rows(key, rows[key])
            self._stream.wait()
        return {key: _first_rows(self._buffers[key].host, rows.get(key)) for key in self._outputs}

    def _rows(self, key: str) -> list[int]:
        """Number of rows of each image that are needed of an output."""
        counts = self._buffers[self._counted[key]].host
        return np.clip(counts, 0, self._buffers[key].host.shape[1]).tolist()

    def _copy_rows(self, key: str, rows: list[int]) -> None:
        buffer = self._buffers[key]
        image_bytes, row_bytes = buffer.host[0].nbytes, buffer.host[0, 0].nbytes
        for image, count in enumerate(rows):
            if count:
                buffer.to_host(self._stream, image * image_bytes, count * row_bytes)

    def _enqueue_or_fail(self) -> None:
        try:
            self._enqueue()
        except TensorRtError:
            self._stream.wait()  # where the GPU is lost, CUDA knows better than TensorRT, and raises here
            raise

    def _enqueue(self) -> None:
        self.execute()
        for key in self._whole:
            self._buffers[key].to_host(self._stream)

    def execute(self) -> None:
        """Put the engine alone on the stream, over the GPU's buffers as they are. Raises TensorRtError."""
        clear_errors()
        if not self._context.execute_async_v3(self._stream.handle):
            raise trt_failure(f"{self._name}: TensorRT could not execute the engine")

    @property
    def _place(self) -> tuple[int, ...]:
        """Addresses of the inputs, as a key; the outputs' addresses never change."""
        return tuple(self._bound[key] for key in self._inputs)

    @property
    def captured(self) -> bool:
        """True if there is a CUDA graph for the inputs that were taken."""
        return self._place in self._graphs

    @property
    def seen(self) -> bool:
        """True if the engine has run on inputs at these addresses, and so may be captured.

        By then TensorRT's one-time initialisation is done.
        """
        return self._place in self._seen

    def capture(self) -> None:
        """From now on `give` launches a CUDA graph of the engine and of the small outputs' copies.

        Raises CudaError or TensorRtError where capture is refused; `give` then goes on without.
        """
        if len(self._graphs) == GRAPHS_KEPT:
            self._graphs.popitem(last=False)[1].close()
        self._graphs[self._place] = self._stream.capture(self._enqueue)

    def close(self) -> None:
        """Release the graphs and the buffers, once nothing runs on them."""
        for graph in self._graphs.values():
            graph.close()
        for buffer in self._buffers.values():
            buffer.close()


def _first_rows(array: NDArray, rows: list[int] | None) -> NDArray:
    """Copy (N, D, …) with zeros past each image's rows; all rows where all are needed."""
    if rows is None:
        return array.copy()
    copy = np.zeros(array.shape, array.dtype)
    for image, count in enumerate(rows):
        copy[image, :count] = array[image, :count]
    return copy


def _create_context(name: str, engine: Any, activations: DeviceMemory) -> Any:
    """Create a context whose activations lie in our memory. The call changed in 10.1, and 11 dropped the old
    one."""
    trt = import_tensorrt()
    clear_errors()
    if hasattr(trt, "ExecutionContextAllocationStrategy"):
        context = engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
    else:
        context = engine.create_execution_context_without_device_memory()
    if context is None:
        raise trt_failure(f"{name}: TensorRT could not create an execution context")
    if hasattr(context, "set_device_memory"):
        context.set_device_memory(activations.address, activations.size_bytes)
    else:
        context.device_memory = activations.address
    return context


def _infers_shapes(context: Any) -> bool:
    """True if every output's shape follows from the inputs' as set."""
    try:
        return not context.infer_shapes()  # the names of the inputs that are wanting
    except RuntimeError:  # the Python package raises where TensorRT itself gives a code
        return False


def activation_bytes(engine: Any) -> int:
    """Device memory for the activations of the engine's largest profile."""
    if hasattr(engine, "device_memory_size_v2"):
        return int(engine.device_memory_size_v2)
    return int(engine.device_memory_size)
