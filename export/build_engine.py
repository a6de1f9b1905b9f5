"""Builds a TensorRT engine from an exported ONNX file, for the GPU and the TensorRT of this machine."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from onnx import ModelProto

from maskrt.export.engine.choose import Operators, check_kind, choose_operators
from maskrt.export.engine.configure import (
    EMBEDS_SINCE,
    Options,
    check_compatibility,
    configure,
    create_network,
    load_timing_cache,
    save_timing_cache,
    timing_cache_path,
)
from maskrt.export.engine.layers import LayerReport, MissingPluginError, examine_layers, lines
from maskrt.export.engine.memory import build_within, check_memory, needed_bytes, workspace_limits
from maskrt.export.engine.parse import parse
from maskrt.export.engine.prepare import prepare
from maskrt.export.engine.profiles import make_profiles
from maskrt.export.engine.progress import BuildProgress, monitor, run_cancellable, run_until_killed
from maskrt.export.engine.small import LONG_SIDE_PX, PROPOSALS, WORKSPACE_MIB, small_contract
from maskrt.export.engine.source import check_version, read_model
from maskrt.runtime.backends.trt.device import PLATFORM, describe_gpu
from maskrt.runtime.backends.trt.engine_file import EngineHeader, write_engine
from maskrt.runtime.backends.trt.execution import activation_bytes, trt_failure
from maskrt.runtime.backends.trt.library import clear_errors, import_tensorrt, logger, reported_errors
from maskrt.runtime.backends.trt.plugins import library_sha256, load_library, load_python, take_python_error
from maskrt.runtime.commands.cli import say
from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import ExportError, MaskrtError

LIBRARY_PROBE_BYTES = 4096


def build(
    onnx_path: str | Path,
    output: str | Path,
    *,
    profiles: tuple[list[str], list[str], list[str]] = ([], [], []),
    operators: str = "auto",
    options: Options | None = None,
    small: bool = False,
) -> tuple[EngineHeader, LayerReport]:
    """Build an engine file, and report its layers.

    profiles: shapes as for --min, --opt and --max. operators: "plugin", "body" or "auto". small: the preset
    for small devices. Writes `output`, and the timing cache beside it, as soon as TensorRT has built; then
    the layers are examined, and `output` is deleted only if a plugin is missing.

    Raises ModelError and ContractError for the ONNX file, ExportError where TensorRT does not take it or
    memory runs out, MissingDependencyError, CudaError without a GPU, PluginError, InterruptedBuildError.
    """
    source, output, options = Path(onnx_path), Path(output), options or Options()
    if output.is_dir():
        raise ExportError(f"{output}: a folder; name the engine file, e.g. -o {output / 'model.engine'}")
    check_kind(operators)
    model, contract, sha256 = read_model(source)
    if small:
        _advise_small(source, contract)
        contract = small_contract(contract)
    ranges = make_profiles(contract, *profiles)
    trt = import_tensorrt()
    version = check_version(trt.__version__)
    gpu = describe_gpu()  # before all else that touches the GPU: TensorRT 8.6 crashes where there is none
    chosen = choose_operators(operators, trt.__version__, output.parent, gpu.compute_capability)
    check_compatibility(options, chosen.kind)
    say(f"{source}: TensorRT {trt.__version__}, {contract.precision.name}, {chosen.summary}")
    prepared = prepare(model, version, chosen.kind, str(source))
    del model
    largest = max((p.max for p in ranges), key=math.prod, default=None)
    check_memory(str(source), needed_bytes(prepared, largest), gpu)
    _load_operators(trt, chosen)

    builder = trt.Builder(logger())
    network = create_network(trt, builder, version)
    parse(trt, network, prepared, str(source))
    embedded = chosen.library if version >= EMBEDS_SINCE else None
    config = configure(
        trt, builder, network, version, contract.precision.name, prepared, ranges, embedded, options
    )
    cache = timing_cache_path(output, trt.__version__, gpu.compute_capability)
    load_timing_cache(config, cache)
    limits = workspace_limits(options.workspace_mib or (WORKSPACE_MIB if small else None), gpu.free_bytes)
    attempt = _attempt(trt, builder, network, config, version)
    plan = build_within(attempt, reported_errors, limits, str(source), say)
    header = EngineHeader(
        contract=contract,
        tensorrt_version=trt.__version__,
        cuda_version=gpu.cuda_version,
        driver_version=gpu.driver_version,
        gpu_name=gpu.name,
        compute_capability=gpu.compute_capability,
        platform=PLATFORM,
        precision=contract.precision.name,
        profiles=ranges,
        operators=chosen.kind,
        plugin_sha256=library_sha256(chosen.library) if chosen.library else None,
        plugin_embedded=embedded is not None and carries(plan, embedded),
        version_compatible=options.version_compatible,
        hardware_compatible=options.hardware_compatible,
        onnx_sha256=sha256,
    )
    write_engine(output, header, plan)  # before anything that could fail
    save_timing_cache(config, cache)
    try:
        report = _report(trt, plan, prepared, str(source))
    except MissingPluginError:
        output.unlink()
        raise
    for line in lines(report):
        say(f"{output}: {line}")
    return header, report


def _advise_small(source: Path, contract: Contract) -> None:
    proposals = max((tap.rows or 0 for tap in contract.inside.taps), default=0)
    canvas = contract.canvas
    if max(canvas.height_px or 0, canvas.width_px or 0) > LONG_SIDE_PX or proposals > PROPOSALS:
        say(
            f"{source}: exported with {proposals} proposals, canvas {canvas.height_px or 'any'}x"
            f"{canvas.width_px or 'any'}, which the engine keeps; for less: maskrt export CHECKPOINT --jetson"
        )


def _load_operators(trt: Any, chosen: Operators) -> None:
    trt.init_libnvinfer_plugins(logger(), "")  # TensorRT's own RoiAlign and DeformConv are of them
    if chosen.kind == "body":
        return
    if chosen.library is not None:
        load_library(chosen.library)
    else:
        load_python()


def _attempt(trt: Any, builder: Any, network: Any, config: Any, version: tuple[int, int]) -> Any:
    """One build with a workspace limit in bytes: the plan, or None where TensorRT failed."""

    def attempt(workspace: int) -> Any:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
        clear_errors()
        if version < (10, 0):
            return run_until_killed(work)
        with BuildProgress() as progress:
            config.progress_monitor = monitor(trt, progress)
            return run_cancellable(work, progress)

    def work() -> Any:
        plan = builder.build_serialized_network(network, config)
        if plan is None and (cause := take_python_error()) is not None:  # kept for this thread
            raise cause
        return plan

    return attempt


def _report(trt: Any, plan: Any, model: ModelProto, source: str) -> LayerReport:
    """Report the plan's layers. Raises MissingPluginError only: the plan is good without a report."""
    try:
        return examine_layers(*_inspect(trt, plan), model, source)
    except MissingPluginError:
        raise
    except Exception as error:  # TensorRT's JSON has no specification, and memory may be short
        reason = error if isinstance(error, MaskrtError) else f"{type(error).__name__}: {error}"
        return LayerReport(unknown=str(reason))


def _inspect(trt: Any, plan: Any) -> tuple[dict[str, Any], int]:
    """The engine's layers as JSON, and the device memory of its activations in bytes."""
    runtime = trt.Runtime(logger())
    runtime.engine_host_code_allowed = True  # the plan may carry the plugin library, which is ours
    clear_errors()
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise trt_failure("TensorRT does not load the plan that it has just built")
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    layers = json.loads(text, strict=False)  # names that were joined are told apart by control characters
    return layers, activation_bytes(engine)


def carries(plan: Any, library: Path) -> bool:
    """True if a plan carries the plugin library, found by its first bytes: TensorRT does not report it.

    plan: anything with the buffer protocol; it is not copied.
    """
    head = library.read_bytes()[:LIBRARY_PROBE_BYTES]
    with memoryview(plan) as view:
        return re.search(re.escape(head), view) is not None
