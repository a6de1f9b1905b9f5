"""Inspects what TensorRT needs: GPU, driver, CUDA, JetPack, power mode, compiler, plugins."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2

from maskrt.runtime.errors import MissingDependencyError
from maskrt.runtime.machine.findings import Finding, ask
from maskrt.runtime.packages import install

TEGRA_RELEASE = Path("/etc/nv_tegra_release")
NVCC = ("nvcc", "/usr/local/cuda/bin/nvcc")
FIRST_L4T = 36  # of JetPack 6
TENSOR_CORES_INT8 = (7, 2)  # compute capability from which tensor cores take eight bits (CUDA's guide)
QUERY = ("--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader")


def gpu_findings(tensorrt_version: str | None) -> list[Finding]:
    """Findings from the GPU to the plugins; JetPack only on a Jetson. tensorrt_version: None where there is
    none."""
    jetson = _jetson() if TEGRA_RELEASE.is_file() else []
    return [*(jetson or _cards()), _cuda(), _compiler(), _plugins(tensorrt_version)]


def _cards() -> list[Finding]:
    lines = ask("nvidia-smi", *QUERY)
    if lines is None:
        return [
            Finding(
                "GPU",
                False,
                "nvidia-smi failed" if shutil.which("nvidia-smi") else "no nvidia-smi on the PATH",
                "With an NVIDIA GPU: install or repair the NVIDIA driver. All but TensorRT runs on the CPU",
            )
        ]
    found = [line.split(", ") for line in lines.splitlines()]
    return [
        *(Finding("GPU", True, ", ".join(card), meaning=_means(card[-1])) for card in found),
        Finding("driver", True, found[0][1], meaning="must be as new as CUDA's libraries: see the line CUDA"),
    ]


def _means(compute_capability: str) -> str:
    number = tuple(int(n) for n in re.findall(r"\d+", compute_capability))
    bound = f"engines built here run on compute capability {compute_capability}"
    if number >= TENSOR_CORES_INT8:
        return f"FP16 and INT8 run on tensor cores; {bound}"
    return f"no tensor cores for INT8: build FP16 or FP32; {bound}"


def _jetson() -> list[Finding]:
    """Findings on a Jetson. It has no useful nvidia-smi: its release file, apt and nvpmodel describe it."""
    release = re.search(r"R(\d+).*REVISION:\s*([\d.]+)", TEGRA_RELEASE.read_text())
    l4t = f"{release[1]}.{release[2]}" if release else "of an unknown release"
    jetpack = ask("dpkg-query", "--show", "--showformat=${Version}", "nvidia-jetpack")
    if release and int(release[1]) < FIRST_L4T:
        packages = Finding(
            "JetPack",
            False,
            f"{jetpack or '5 or older'}, whose TensorRT (8.5 at most) and Python are too old",
            "an Orin can have JetPack 6, other Jetsons cannot: docs/jetson.md",
        )
    elif jetpack:
        packages = Finding("JetPack", True, jetpack, meaning="which TensorRT and CUDA it has: docs/jetson.md")
    else:
        packages = Finding("JetPack", False, "not installed as a whole", "sudo apt install nvidia-jetpack")
    return [
        Finding("GPU", True, f"Jetson, L4T {l4t}", meaning="shares its memory with the CPU"),
        packages,
        _cameras(),
        _power(),
    ]


def _cameras() -> Finding:
    """Finding on GStreamer, which a Jetson's cameras need: JetPack's OpenCV has it, pip's wheels have not."""
    subject, found = "OpenCV", f"{cv2.__version__}, {Path(cv2.__file__).parent}"
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        return Finding(subject, True, found, meaning="with GStreamer: csi://0 and pipelines work")
    remedy = "pip uninstall opencv-python-headless; sudo apt install libopencv-python (docs/jetson.md)"
    return Finding(subject, False, f"{found}: without GStreamer, so without CSI cameras", remedy)


def _power() -> Finding:
    answer = ask("nvpmodel", "-q") or ""
    mode = re.search(r"NV Power Mode:\s*(\S+)", answer)
    if mode is None:
        return Finding("power mode", False, "nvpmodel does not say", "sudo nvpmodel -q")
    if mode[1].startswith("MAXN"):
        return Finding(
            "power mode", True, mode[1], meaning="the fastest; hold its clocks to measure: sudo jetson_clocks"
        )
    return Finding(
        "power mode",
        False,
        mode[1],
        "Slower than this machine can be: sudo nvpmodel -m ID of MAXN (docs/jetson.md)",
    )


def _cuda() -> Finding:
    """Finding on the GPU as TensorRT will see it: through the driver, not through nvidia-smi."""
    from maskrt.runtime.backends.trt.device import CudaError, describe_gpu

    try:
        gpu = describe_gpu()
    except MissingDependencyError:
        return Finding("CUDA", False, "no cuda-python (for TensorRT engines)", "pip install cuda-python")
    except CudaError as error:
        remedy = "Install an NVIDIA driver, or a cuda-python no newer than the driver: docs/jetson.md"
        return Finding("CUDA", False, str(error).split(". ")[0], remedy)
    free_gib, all_gib = gpu.free_bytes / 2**30, gpu.memory_bytes / 2**30
    return Finding(
        "CUDA",
        True,
        f"{gpu.name}, compute capability {gpu.compute_capability}, driver for CUDA {gpu.driver_version}, "
        f"cuda-python {gpu.cuda_version}, {free_gib:.1f} of {all_gib:.1f} GiB free",
        meaning=f"engines can run; a build takes half of the {free_gib:.1f} GiB at most",
    )


def _compiler() -> Finding:
    answers = (ask(tool, "--version") for tool in NVCC)
    answer = next((text for text in answers if text), "")
    release = re.search(r"release ([\d.]+)", answer)
    if release is None:
        return Finding(
            "nvcc",
            False,
            "no CUDA compiler",
            "For maskrt build-plugins install the CUDA toolkit, or set MASKRT_PLUGINS=python",
        )
    return Finding("nvcc", True, f"CUDA {release[1]}", meaning="maskrt build-plugins can run")


def _plugins(tensorrt_version: str | None) -> Finding:
    from maskrt.runtime.backends.trt.plugins import PluginError, find_libraries

    subject, remedy = "TensorRT plugins", "maskrt build-plugins"
    if tensorrt_version is None:
        return Finding(subject, False, "no TensorRT whose version is known", install("gpu"))
    try:
        libraries = find_libraries(tensorrt_version)
    except PluginError as error:
        return Finding(subject, False, str(error).split(". ")[0], remedy)
    if not libraries:
        return Finding(subject, False, f"no library for TensorRT {tensorrt_version}", remedy)
    return Finding(
        subject, True, ", ".join(map(str, libraries)), meaning="RoIAlign and NMS run as our own kernels"
    )
