"""Configures TensorRT's builder: precision, compatibility, profiles, plugins, the timing cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from maskrt.export.engine.wanted import Float32
from maskrt.runtime.backends.trt.engine_file import Profile
from maskrt.runtime.contract import IMAGE_SIZES, IMAGES
from maskrt.runtime.errors import ExportError
from maskrt.runtime.files.atomic import atomic_path
from maskrt.runtime.files.kinds import OWN_NAME
from maskrt.runtime.machine.findings_gpu import TEGRA_RELEASE

Version = tuple[int, int]
EMBEDS_SINCE = (10, 0)  # our plugins for 8.6 are IPluginV2, which a plan does not carry


@dataclass(frozen=True)
class Options:
    """What the user may choose besides shapes and operators. None: TensorRT's own choice."""

    workspace_mib: int | None = None
    optimization_level: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False


def check_compatibility(options: Options, operators: str) -> None:
    """Raise ExportError where an engine cannot be as compatible as asked. operators: "plugin" or "body".

    NVIDIA's guide ("Hardware Compatibility") leaves JetPack out of every level of it.
    """
    if operators == "body" and options.version_compatible:
        raise ExportError(
            "--version-compatible needs the plugins: the bodies use TensorRT's own RoiAlign, whose library "
            "is of one version. Build the plugins: maskrt build-plugins"
        )
    if options.hardware_compatible and TEGRA_RELEASE.is_file():
        raise ExportError(
            "--hardware-compatible: TensorRT has no such engines on JetPack. One that is built on a Jetson "
            "runs on Jetsons of that kind: leave the option out, and build on each kind of Jetson."
        )


def create_network(trt: Any, builder: Any, version: Version) -> Any:
    """Create an empty network, strongly typed where TensorRT supports it (10 on)."""
    if version < (10, 0):
        return builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
    return builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))


def configure(
    trt: Any,
    builder: Any,
    network: Any,
    version: Version,
    precision: str,
    model: ModelProto,
    profiles: tuple[Profile, ...],
    embedded: Path | None,
    options: Options,
) -> Any:
    """Create the builder's configuration.

    model: what `network` was parsed from; embedded: the plugin library that the plan is to carry.
    """
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # the report needs the engine's layers
    if precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and it keeps 10 bits of the mantissa
    if version < (10, 0):
        _set_types_for_8_6(trt, network, config, precision, model)
        # The runtime has a context a shape. From 10.0 on contexts may share a profile without being asked.
        config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)
    for profile in profiles:
        optimization_profile = builder.create_optimization_profile()
        ends = (profile.min, profile.opt, profile.max)
        optimization_profile.set_shape(IMAGES, *((n, height, width, 3) for n, height, width in ends))
        optimization_profile.set_shape(IMAGE_SIZES, *((n, 2) for n, _, _ in ends))
        config.add_optimization_profile(optimization_profile)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if embedded is not None:
        config.plugins_to_serialize = [str(embedded)]
    return config


def _set_types_for_8_6(trt: Any, network: Any, config: Any, precision: str, model: ModelProto) -> None:
    """Set the file's types as builder flags and constraints, for a network whose types do not bind.

    fp16: half is allowed, and layers that the file has in float32 (boxes, RoIs, NMS) are held to it. The
    network does not know which these are: to it everything after a plugin is float32. int8: the Q/DQ nodes
    decide what is INT8; half is not allowed beside it, since the builder could take it for any other layer.
    cuBLAS and cuDNN are left out: 8.6 is the last version to take kernels from them.
    """
    own = (trt.TacticSource.EDGE_MASK_CONVOLUTIONS, trt.TacticSource.JIT_CONVOLUTIONS)
    config.set_tactic_sources(sum(1 << int(source) for source in own))
    if precision == "int8":
        config.set_flag(trt.BuilderFlag.INT8)
    elif precision == "fp16":
        config.set_flag(trt.BuilderFlag.FP16)
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
        fixed = (trt.LayerType.CAST, trt.LayerType.CONSTANT, trt.LayerType.PLUGIN_V2, trt.LayerType.SHAPE)
        float32 = Float32(model)
        for i in range(network.num_layers):
            layer = network.get_layer(i)
            outputs = [layer.get_output(j) for j in range(layer.num_outputs)]
            inputs = [t for j in range(layer.num_inputs) if (t := layer.get_input(j)) is not None]
            held = float32.layer(layer.name, [t.name for t in inputs], [t.name for t in outputs])
            # A layer that computes a shape for a float32 node has no float32 itself.
            if layer.type in fixed or not held or all(t.dtype != trt.float32 for t in (*inputs, *outputs)):
                continue
            layer.precision = trt.float32
            for j, tensor in enumerate(outputs):
                if tensor.dtype == trt.float32:  # a TopK has indices beside its values, which stay integers
                    layer.set_output_type(j, trt.float32)


def timing_cache_path(engine: Path, tensorrt_version: str, compute_capability: str) -> Path:
    """The cache file, beside the engine, that builds with this TensorRT on this kind of GPU share."""
    gpu = compute_capability.replace(".", "")
    return engine.parent / f"tensorrt-{tensorrt_version}-sm{gpu}.timing"


def load_timing_cache(config: Any, path: Path) -> None:
    """Give the builder the times of earlier builds; start a new cache where TensorRT rejects the file."""
    cache = config.create_timing_cache(path.read_bytes()) if path.is_file() else None
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def save_timing_cache(config: Any, path: Path) -> None:
    """Write the measured times, merged with those that another build wrote in the meantime."""
    cache = config.get_timing_cache()
    if path.is_file() and (other := config.create_timing_cache(path.read_bytes())) is not None:
        cache.combine(other, False)
    with atomic_path(path, OWN_NAME) as temporary:
        temporary.write_bytes(bytes(cache.serialize()))
