"""Compiles the plugins' kernels at run time with NVRTC, for machines without nvcc.

NVRTC comes with CUDA and with the pip packages of PyTorch and cuda-python; it needs neither a compiler
nor headers.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from types import ModuleType
from typing import Any

from maskrt.export.plugins.abi import Launch
from maskrt.runtime.errors import MaskrtError, MissingDependencyError

SOURCES = Path(__file__).resolve().parent
OPTIONS = ("--std=c++17",)  # division and square root stay IEEE's: no fast math


class KernelError(MaskrtError):
    """A kernel that the CUDA compiler or driver refuses."""


@functools.cache
def bindings() -> tuple[ModuleType, ModuleType]:
    """The `driver` and `nvrtc` modules of cuda-python, whose place changed in 12.6."""
    try:
        from cuda.bindings import driver, nvrtc
    except ImportError:
        try:
            from cuda import cuda as driver
            from cuda import nvrtc
        except ImportError as error:
            raise MissingDependencyError(
                f"The Python plugin compiles its kernels with cuda-python, which is not installed ({error}). "
                "Install it: pip install cuda-python; or build the library: maskrt build-plugins"
            ) from error
    return driver, nvrtc


def _call(function: str, status: Any, *values: Any) -> Any:
    """The values of a cuda-python call. Raises KernelError with its error's name."""
    if int(status) != 0:
        raise KernelError(f"{function} failed: {status.name} ({int(status)})")
    return values[0] if len(values) == 1 else values


def supported_archs() -> list[int]:
    """Compute capabilities that this NVRTC compiles for, as 75, 87, ..."""
    _, nvrtc = bindings()
    return list(_call("nvrtcGetSupportedArchs", *nvrtc.nvrtcGetSupportedArchs()))


@functools.lru_cache(maxsize=16)
def compile_program(program: str, arch: int) -> bytes:
    """Machine code (cubin) of one .cu file for a compute capability such as 87."""
    _, nvrtc = bindings()
    headers = sorted(SOURCES.glob("*.h"))
    texts, names = [h.read_bytes() for h in headers], [h.name.encode() for h in headers]
    source = (SOURCES / program).read_bytes()
    created = nvrtc.nvrtcCreateProgram(source, program.encode(), len(headers), texts, names)
    handle = _call("nvrtcCreateProgram", *created)
    options = [f"--gpu-architecture=sm_{arch}".encode(), *(option.encode() for option in OPTIONS)]
    (status,) = nvrtc.nvrtcCompileProgram(handle, len(options), options)
    if int(status) != 0:
        size = _call("nvrtcGetProgramLogSize", *nvrtc.nvrtcGetProgramLogSize(handle))
        log = b" " * size
        nvrtc.nvrtcGetProgramLog(handle, log)
        nvrtc.nvrtcDestroyProgram(handle)
        raise KernelError(
            f"{program}: NVRTC does not compile it for sm_{arch} ({status.name}); it knows "
            f"{', '.join(map(str, supported_archs()))}. {log.decode(errors='replace').strip(chr(0)).strip()}"
        )
    size = _call("nvrtcGetCUBINSize", *nvrtc.nvrtcGetCUBINSize(handle))
    cubin = b" " * size
    _call("nvrtcGetCUBIN", *nvrtc.nvrtcGetCUBIN(handle, cubin))
    nvrtc.nvrtcDestroyProgram(handle)
    return cubin


@functools.cache
def _functions(context: int, arch: int) -> dict[str, Any]:
    """Every kernel of all programs, loaded into a CUDA context; they live as long as it does."""
    driver, _ = bindings()
    functions = {}
    for program, kernels in PROGRAMS.items():
        module = _call("cuModuleLoadData", *driver.cuModuleLoadData(compile_program(program, arch)))
        for name in kernels:
            functions[name] = _call("cuModuleGetFunction", *driver.cuModuleGetFunction(module, name.encode()))
    return functions


ROI_ALIGN_KERNELS = tuple(
    f"maskrt_roi_align_{storage}_{mode}"
    for storage in ("float_linear", "half_channels_last")
    for mode in ("avg", "max")
)
NMS_KERNELS = tuple(f"maskrt_nms_{step}" for step in ("rank", "mask", "sweep", "emit"))
DEFORM_CONV_KERNELS = tuple(
    f"maskrt_deform_conv_{storage}" for storage in ("float_linear", "half_channels_last")
)
PROGRAMS = {
    "roi_align.cu": ROI_ALIGN_KERNELS,
    "nms.cu": NMS_KERNELS,
    "deform_conv.cu": DEFORM_CONV_KERNELS,
}


def load_kernels() -> dict[str, Any]:
    """The kernels in this thread's CUDA context, by name; compiled on the first call (a few seconds)."""
    driver, _ = bindings()
    context = _call("cuCtxGetCurrent", *driver.cuCtxGetCurrent())
    device = _call("cuCtxGetDevice", *driver.cuCtxGetDevice())
    attribute = driver.CUdevice_attribute
    major, minor = (
        _call("cuDeviceGetAttribute", *driver.cuDeviceGetAttribute(name, device))
        for name in (
            attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
        )
    )
    return _functions(int(context), 10 * major + minor)


def launch(kernel_launch: Launch, params: ctypes.Structure, stream: int) -> None:
    """Put one kernel on a stream; it takes `params` by value. An empty grid launches nothing."""
    if kernel_launch.x == 0 or kernel_launch.y == 0:
        return
    driver, _ = bindings()
    arguments = (ctypes.c_void_p * 1)(ctypes.addressof(params))
    (status,) = driver.cuLaunchKernel(
        load_kernels()[kernel_launch.kernel],
        kernel_launch.x, kernel_launch.y, 1,
        kernel_launch.threads, 1, 1,
        0, stream, ctypes.addressof(arguments), 0,
    )  # fmt: skip
    _call(f"cuLaunchKernel({kernel_launch.kernel})", status)
