"""Checks whether an engine runs here, chooses its profile, and gives the command that builds it again."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from maskrt.runtime.backends.trt.engine_file import EngineHeader, Profile, Shape
from maskrt.runtime.backends.trt.library import major_minor
from maskrt.runtime.contract import Contract
from maskrt.runtime.contract.tensors import BATCH, HEIGHT, WIDTH
from maskrt.runtime.errors import ModelError

COMPATIBLE_FROM = (8, 0)  # compute capability; below it TensorRT's hardware compatibility does not reach


@dataclass(frozen=True)
class Machine:
    """Properties of this machine that an engine is bound to. The fields are as in EngineHeader."""

    tensorrt_version: str
    gpu_name: str
    compute_capability: str
    platform: str


class ForeignEngineError(ModelError):
    """Engine that was built for another machine or another TensorRT."""


def check_fit(path: str | os.PathLike[str], header: EngineHeader, machine: Machine) -> None:
    """Raise ForeignEngineError, naming both sides, where TensorRT would refuse the plan or misread it.

    A plan runs only on the exact TensorRT, the compute capability and the platform that it was built on. A
    version-compatible plan runs on later TensorRT of the same major version, a hardware-compatible one on
    every GPU from compute capability 8.0 on (TensorRT's developer guide, "Version Compatibility" and
    "Hardware Compatibility").
    """
    built, here = [], []
    if header.platform != machine.platform:
        built.append(header.platform)
        here.append(machine.platform)
    if not _version_fits(header, machine):
        built.append(f"TensorRT {header.tensorrt_version}")
        here.append(f"TensorRT {machine.tensorrt_version}")
    if not _gpu_fits(header, machine):
        built.append(f"{header.gpu_name} (compute capability {header.compute_capability})")
        here.append(f"{machine.gpu_name} ({machine.compute_capability})")
    if built:
        raise ForeignEngineError(
            f"{path}: built for {', '.join(built)}, and here is {', '.join(here)}; build it here: "
            f"{rebuild_command(path, header)}"
        )


def _version_fits(header: EngineHeader, machine: Machine) -> bool:
    if not header.version_compatible:
        return header.tensorrt_version == machine.tensorrt_version
    built, here = major_minor(header.tensorrt_version), major_minor(machine.tensorrt_version)
    return built[0] == here[0] and built <= here


def _gpu_fits(header: EngineHeader, machine: Machine) -> bool:
    if not header.hardware_compatible:
        return header.compute_capability == machine.compute_capability
    return major_minor(machine.compute_capability) >= COMPATIBLE_FROM


def rebuild_command(path: str | os.PathLike[str], header: EngineHeader) -> str:
    """Command that builds such an engine again, from the ONNX file that it was built from."""
    flags = [
        f"--{end} {_text(getattr(profile, end))}"
        for profile in header.profiles
        for end in ("min", "opt", "max")
    ]
    flags += ["--version-compatible"] if header.version_compatible else []
    flags += ["--hardware-compatible"] if header.hardware_compatible else []
    flags += ["--operators body"] if header.operators == "body" else []
    return " ".join(["maskrt build MODEL.onnx", *flags, f"-o {path}"])


def choose_profile(path: str | os.PathLike[str], header: EngineHeader, shape: Shape) -> int:
    """Index of the profile for images of (N, H, W): of those that accept it, the one with the nearest `opt`.

    The distance is the ratio of pixel counts. An engine without profiles has fixed shapes. Raises ModelError
    where no profile accepts the shape.
    """
    if not header.profiles:
        return 0

    def distance(profile: Profile) -> float:
        return abs(math.log(math.prod(shape) / math.prod(profile.opt)))

    takers = [i for i, profile in enumerate(header.profiles) if profile.accepts(shape)]
    if takers:
        return min(takers, key=lambda i: distance(header.profiles[i]))
    ranges = "; ".join(f"{p.name}: {_text(p.min)} to {_text(p.max)}" for p in header.profiles)
    raise ModelError(
        f"{path}: input 'images' is (N, H, W) = {_text(shape)}, outside of what the engine was built for "
        f"({ranges}). Build it with a profile for that: maskrt build MODEL.onnx --min {_text(shape)} --opt "
        f"{_text(shape)} --max {_text(shape)} -o {path}"
    )


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))


def tensor_shapes(contract: Contract, shape: Shape) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of every input and output, by name, for images of (N, H, W)."""
    sides = dict(zip((BATCH, HEIGHT, WIDTH), shape, strict=True))
    return {
        tensor.name: (tensor.shape(sides), tensor.dtype) for tensor in (*contract.inputs, *contract.outputs)
    }
