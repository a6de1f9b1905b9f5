"""An engine's header for tests: what the TensorRT half decides without a GPU is decided from it."""

from __future__ import annotations

import dataclasses
from typing import Any

from runtime.engine_file import EngineHeader, Profile
from tests.runtime.conftest import make_contract

SMALL = Profile("small", min=(1, 320, 320), opt=(1, 640, 640), max=(4, 640, 640))
LARGE = Profile("large", min=(1, 320, 320), opt=(1, 800, 1344), max=(1, 1344, 1344))

HEADER = EngineHeader(
    contract=make_contract(),
    tensorrt_version="10.3.0",
    cuda_version="12.6",
    driver_version="12.6",
    gpu_name="Orin",
    compute_capability="8.7",
    platform="linux-aarch64",
    precision="fp32",
    profiles=(SMALL, LARGE),
    operators="plugin",
    plugin_sha256="ab" * 32,
    plugin_embedded=False,
    version_compatible=False,
    hardware_compatible=False,
    onnx_sha256="cd" * 32,
)


def make_header(**changes: Any) -> EngineHeader:
    """A header of an engine built on a Jetson Orin with TensorRT 10.3, with changes."""
    return dataclasses.replace(HEADER, **changes)
