"""Runs one operator alone on TensorRT, by our plugin and by its body of standard operators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.gpu_check.bundle import Operator
from benchmarks.gpu_check.latency import ROUNDS, WARM_UP, summarise
from benchmarks.gpu_check.report import OperatorResult, reason
from maskrt.export.engine.configure import Options, configure, create_network
from maskrt.export.engine.parse import parse
from maskrt.export.engine.prepare import prepare
from maskrt.runtime.backends.trt.device import DeviceMemory, Stream
from maskrt.runtime.backends.trt.execution import Execution, Inputs, Outputs, activation_bytes, trt_failure
from maskrt.runtime.backends.trt.library import clear_errors, import_tensorrt, logger, major_minor
from maskrt.runtime.backends.trt.plugins import find_libraries, load_library, load_python
from maskrt.runtime.errors import MaskrtError

DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT32": "int32"}


def check_operator(operator: Operator, by: str, bundle: Path) -> OperatorResult:
    """Build the operator's own small engine, compare its answer, and time it. by: "plugin" or "body"."""
    path = bundle / operator.onnx
    try:
        with np.load(bundle / operator.answer) as arrays:
            recorded = dict(arrays)
        engine = build(path, by, operator.precision)
        inputs, outputs = tensors(engine)
        stream, activations = Stream(), DeviceMemory(activation_bytes(engine))
        execution = Execution(str(path), engine, stream, activations, 0, inputs, outputs)
        execution.take({name: recorded.get(name, noise(*inputs[name])) for name in inputs})
        answers = execution.give()
        launch = captured(stream, execution.execute)
        times_ms = [stream.time_ms(launch) for _ in range(WARM_UP + ROUNDS)]
    except Exception as error:
        return OperatorResult(operator.name, operator.precision, by, failure=reason(error))
    latency = summarise(times_ms)
    if not operator.has_answer:
        return OperatorResult(operator.name, operator.precision, by, passed=True, latency=latency)
    worst = max(difference(answers[name], recorded[name]) for name in outputs)
    passed = worst <= operator.tolerance
    return OperatorResult(operator.name, operator.precision, by, "", worst, passed, latency)


def captured(stream: Stream, work: Callable[[], None]) -> Callable[[], None]:
    """The work as a CUDA graph, or itself where a capture is refused: a body may wait for the GPU inside."""
    try:
        return stream.capture(work).launch
    except MaskrtError:
        return work


def difference(got: NDArray, expected: NDArray) -> float:
    """The largest, relative to 1 or to the expected value, whichever is larger; NaN agrees with nothing."""
    expected = expected.astype(np.float64)
    worst = float(np.max(np.abs(got - expected) / np.maximum(1, np.abs(expected))))
    return float("inf") if np.isnan(worst) else worst


def build(path: Path, by: str, precision: str) -> Any:
    """The operator's engine, loaded. Raises MaskrtError where this TensorRT does not take it."""
    trt = import_tensorrt()
    version = major_minor(trt.__version__)
    trt.init_libnvinfer_plugins(logger(), "")
    if by == "plugin":
        load_ours(trt)
    builder = trt.Builder(logger())
    network = create_network(trt, builder, version)
    prepared = prepare(onnx.load_model(path), version, by, str(path))
    parse(trt, network, prepared, str(path))
    config = configure(trt, builder, network, version, precision, prepared, (), None, Options())
    clear_errors()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise trt_failure(f"{path}: TensorRT could not build it")
    engine = trt.Runtime(logger()).deserialize_cuda_engine(plan)
    if engine is None:
        raise trt_failure(f"{path}: TensorRT does not load the plan that it has just built")
    return engine


def load_ours(trt: Any) -> None:
    """Our plugins: the library, or where there is none the ones in Python."""
    if libraries := find_libraries(trt.__version__):
        load_library(libraries[0])
    else:
        load_python()


def tensors(engine: Any) -> tuple[Inputs, Outputs]:
    """Inputs and outputs of an engine of fixed shapes."""
    trt = import_tensorrt()
    inputs: Inputs = {}
    outputs: Outputs = {}
    for i in range(engine.num_io_tensors):
        name = engine.get_tensor_name(i)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        kind = DTYPES[engine.get_tensor_dtype(name).name]
        if is_input:
            inputs[name] = (tuple(engine.get_tensor_shape(name)), kind)
        else:
            outputs[name] = (None, kind)
    return inputs, outputs


def noise(shape: tuple[int, ...], dtype: str) -> NDArray:
    """Features of unit variance, for an input that is not recorded because it is large."""
    return np.random.default_rng(0).standard_normal(shape, np.float32).astype(dtype)
