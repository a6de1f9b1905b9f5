"""The kernels on a CPU: the shim beside them, compiled once."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.export.plugins.kernels import PLUGINS, HostKernels


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    if shutil.which("g++") is None:
        pytest.skip("the kernels' host build needs g++")
    library = tmp_path_factory.mktemp("host") / "libmaskrt_host.so"
    flags = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["g++", *flags, str(PLUGINS / "host_shim.cpp"), "-o", str(library)], check=True)
    return HostKernels(library)
