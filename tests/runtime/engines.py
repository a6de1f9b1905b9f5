"""Engines for tests: a header, from which all is decided that needs no GPU, and the real thing where there is one."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maskrt.runtime.backends.trt.device import describe_gpu
from maskrt.runtime.backends.trt.engine_file import EngineHeader, Profile
from maskrt.runtime.backends.trt.library import import_tensorrt
from maskrt.runtime.errors import MaskrtError
from tests.conftest import REPOSITORY
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


def skip_without_tensorrt() -> None:
    """Skip the test, saying why, where no engine could be built or run."""
    try:
        import_tensorrt()
        describe_gpu()
    except MaskrtError as error:
        pytest.skip(str(error))


def build_engine(model: Path, *flags: str, **profile: str) -> Path:
    """`maskrt build MODEL`; profile: min, opt and max as in "1x320x320". The engine lies beside the model."""
    engine = model.with_name(f"{model.stem}-{len(list(model.parent.glob('*.engine')))}.engine")
    shapes = [word for end, shape in profile.items() for word in (f"--{end}", shape)]
    done = subprocess.run(
        [sys.executable, "-m", "maskrt", "build", str(model), "-o", str(engine), *shapes, *flags],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    return engine
