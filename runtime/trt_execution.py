"""Running an engine on one input shape: the context, its buffers, and the CUDA graph over them.

A captured graph holds the addresses of the buffers and of the activations and the state of its context, so
TensorRT's developer guide ("CUDA Graphs") advises a context for each graph, with memory in common: each
shape has a context of its own here, and shapes that take turns share the activations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.device import CudaGraph, DeviceMemory, PinnedArray, Stream
from runtime.errors import MaskrtError
from runtime.trt_library import TensorRtError, forget_words, import_tensorrt, words
from runtime.trt_plugins import take_python_error

# Shape and dtype by name. An output without a shape has the one that TensorRT works out.
Inputs = dict[str, tuple[tuple[int, ...], str]]
Outputs = dict[str, tuple[tuple[int, ...] | None, str]]


def trt_failure(what: str) -> MaskrtError:
    """The error of a call that TensorRT refused: what a plugin in Python raised, else TensorRT's words."""
    cause = take_python_error()
    if isinstance(cause, MaskrtError):
        return cause
    error = TensorRtError(f"{what}; {cause or words()}. What is installed here: maskrt doctor")
    error.__cause__ = cause
    return error


class Execution:
    """An engine on one shape. `run` copies in, executes and copies out; not for two threads at once."""

    def __init__(
        self,
        name: str,
        engine: Any,
        stream: Stream,
        activations: DeviceMemory,
        profile: int,
        inputs: Inputs,
        outputs: Outputs,
    ) -> None:
        """name: the engine file, for messages. Raises CudaError and TensorRtError."""
        self._name, self._stream = name, stream
        self._context = _create_context(name, engine, activations)
        self._inputs = inputs
        self._outputs = self._set_shapes(profile, outputs)
        self._host = {key: PinnedArray(*tensor) for key, tensor in (inputs | self._outputs).items()}
        self._device = {key: DeviceMemory(array.array.nbytes) for key, array in self._host.items()}
        for key, memory in self._device.items():
            if not self._context.set_tensor_address(key, memory.address):
                raise trt_failure(f"{self._name}: TensorRT does not take the buffer of '{key}'")
        self._graph: CudaGraph | None = None

    def _set_shapes(self, profile: int, outputs: Outputs) -> Inputs:
        """Tell the context the inputs' shapes; gives the outputs with theirs."""
        context = self._context
        forget_words()
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

    def run(self, feed: dict[str, NDArray]) -> dict[str, NDArray]:
        """Inputs by name in, outputs by name out; these are copies, and the caller's own.

        Raises CudaError where a kernel or a copy failed, TensorRtError where TensorRT refused.
        """
        for key, array in feed.items():
            np.copyto(self._host[key].array, array)
        if self._graph is not None:
            self._graph.launch()
        else:
            self._enqueue_or_fail()
        self._stream.wait()
        return {key: self._host[key].array.copy() for key in self._outputs}

    def _enqueue_or_fail(self) -> None:
        try:
            self._enqueue()
        except TensorRtError:
            self._stream.wait()  # where the GPU is lost, CUDA knows better than TensorRT, and raises here
            raise

    def _enqueue(self) -> None:
        for key in self._inputs:
            self._stream.to_device(self._host[key], self._device[key])
        self.execute()
        for key in self._outputs:
            self._stream.to_host(self._device[key], self._host[key])

    def execute(self) -> None:
        """Put the engine alone on the stream, over what the GPU's buffers hold. Raises TensorRtError."""
        forget_words()
        if not self._context.execute_async_v3(self._stream.handle):
            raise trt_failure(f"{self._name}: TensorRT could not execute the engine")

    @property
    def captured(self) -> bool:
        """Whether `run` launches a CUDA graph."""
        return self._graph is not None

    def capture(self) -> None:
        """From now on `run` launches a CUDA graph of copies and engine. Not before one run without it, after
        which TensorRT has done all that it does once a shape. Raises CudaError or TensorRtError where
        capture is refused; `run` then goes on without.
        """
        self._graph = self._stream.capture(self._enqueue)

    def close(self) -> None:
        """Give back the graph and the buffers, once nothing runs on them."""
        for resource in (self._graph, *self._host.values(), *self._device.values()):
            if resource is not None:
                resource.close()


def _create_context(name: str, engine: Any, activations: DeviceMemory) -> Any:
    """A context whose activations lie in memory of ours. The call changed in 10.1, the old one left in 11."""
    trt = import_tensorrt()
    forget_words()
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
    """Whether every output's shape follows from the inputs' as set."""
    try:
        return not context.infer_shapes()  # the names of the inputs that are wanting
    except RuntimeError:  # the Python package raises where TensorRT itself gives a code
        return False


def activation_bytes(engine: Any) -> int:
    """Device memory for the activations of the engine's largest profile."""
    if hasattr(engine, "device_memory_size_v2"):
        return int(engine.device_memory_size_v2)
    return int(engine.device_memory_size)
