"""Finds what building the plugins needs: TensorRT's headers, nvcc, and the GPU to build for."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from maskrt.runtime.errors import MaskrtError

HEADER = "NvInferRuntime.h"
PYTHON_PLUGIN = "or use the Python plugin, which needs neither headers nor nvcc"


class BuildError(MaskrtError):
    """Something that the build of the plugins needs is missing, or a compiler refused."""


@dataclass(frozen=True)
class TensorRT:
    """TensorRT's headers: the folder that holds NvInferRuntime.h, and the version they are of."""

    include: Path
    version: tuple[int, int, int]

    @property
    def version_text(self) -> str:
        """As in 10.13.3."""
        return ".".join(map(str, self.version))


def find_tensorrt(root: Path | None = None) -> TensorRT:
    """Headers under `root`, or under $TENSORRT_ROOT, or where apt and JetPack put them."""
    named = root or (Path(os.environ["TENSORRT_ROOT"]) if os.environ.get("TENSORRT_ROOT") else None)
    multiarch = f"{platform.machine()}-linux-gnu"
    if named is not None:
        folders = [named / "include", named / "include" / multiarch, named]
    else:
        folders = [Path("/usr/include") / multiarch, Path("/usr/include")]
    for folder in folders:
        if (folder / HEADER).is_file():
            return TensorRT(folder, _read_version(folder / "NvInferVersion.h"))
    raise BuildError(
        f"TensorRT's headers ({HEADER}) were not found in {', '.join(map(str, folders))}. Install them "
        "(apt install libnvinfer-headers-dev; pip packages have none), or name the unpacked TensorRT with "
        f"--tensorrt-root or TENSORRT_ROOT; {PYTHON_PLUGIN}."
    )


def _read_version(header: Path) -> tuple[int, int, int]:
    """Major, minor and patch, whose names changed in 10.11."""
    text = header.read_text(errors="replace") if header.is_file() else ""
    pattern = r"#define\s+(?:NV_TENSORRT|TRT)_(MAJOR|MINOR|PATCH)(?:_ENTERPRISE)?\s+(\d+)"
    found = dict(re.findall(pattern, text))
    if set(found) != {"MAJOR", "MINOR", "PATCH"}:
        raise BuildError(
            f"{header}: no TensorRT version in it; expected the header of TensorRT 8.6, or 10.0 and later."
        )
    version = int(found["MAJOR"]), int(found["MINOR"]), int(found["PATCH"])
    if not (version[:2] == (8, 6) or version[0] >= 10):
        raise BuildError(
            f"{header}: TensorRT {'.'.join(map(str, version))}; the plugins support 8.6, and 10.0 and later. "
            "Install one of these, or name it with --tensorrt-root."
        )
    return version


def find_nvcc() -> Path:
    """The CUDA compiler: $CUDACXX, $CUDA_HOME/bin, PATH, or /usr/local/cuda/bin."""
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    named = [os.environ.get("CUDACXX"), *(f"{home}/bin/nvcc" for home in homes)]
    for candidate in [*named, "nvcc", "/usr/local/cuda/bin/nvcc"]:
        if candidate and (path := shutil.which(candidate)):
            return Path(path)
    raise BuildError(
        "nvcc was not found in PATH, $CUDA_HOME/bin or /usr/local/cuda/bin. Install the CUDA toolkit "
        f"(JetPack: apt install nvidia-jetpack-dev; apt: cuda-nvcc), set CUDA_HOME, {PYTHON_PLUGIN}."
    )


def parse_arch(text: str) -> tuple[int, ...]:
    """Compute capabilities out of '87', 'sm_87', '8.7', or several with commas: (87,)."""
    archs = []
    for part in text.replace(";", ",").split(","):
        match = re.fullmatch(r"(?:sm_|compute_)?(\d{1,2})\.?(\d)", part.strip())
        if match is None:
            raise BuildError(f"--arch {text}: '{part}' is not a compute capability; expected e.g. 87 or 8.9.")
        archs.append(int(match[1]) * 10 + int(match[2]))
    return tuple(sorted(set(archs)))


def gpu_arch() -> int:
    """Compute capability of the first GPU, as 87, asked of the driver."""
    remedy = "Name the GPU to build for, e.g. --arch 87 (Orin), 89 (Ada), 90 (Hopper)"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise BuildError(f"There is no NVIDIA driver on this machine ({error}). {remedy}.") from error
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    steps = {
        "cuInit": lambda: driver.cuInit(0),
        "cuDeviceGet": lambda: driver.cuDeviceGet(ctypes.byref(device), 0),
        "cuDeviceGetAttribute": lambda: (
            driver.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
            or driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
        ),
    }
    for name, step in steps.items():
        if status := step():
            raise BuildError(f"No NVIDIA GPU answers here ({name} returned CUDA error {status}). {remedy}.")
    return major.value * 10 + minor.value
