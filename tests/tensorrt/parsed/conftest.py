"""Two real parsers over the mock network, each compiled once and run in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from maskrt.export.plugins import abi
from tests.tensorrt.parsed.generate import generate
from tests.tensorrt.parsed.held import Held, hold
from tests.tensorrt.parsed.prepare import NVIDIAS, Environment, lacking_library
from tests.tensorrt.parsed.prepare_10 import FROM_SOURCE

HERE, PLUGINS = Path(__file__).parent, Path(abi.__file__).parent
PLUGIN_SOURCES = sorted(PLUGINS.glob("plugin_*.cpp")) + sorted(PLUGINS.glob("*_operator.cpp"))
FIELDS = [PLUGINS / f"plugin_{name}.cpp" for name in ("blob", "fields", "log")]


class Apart:
    """A process for calls that may end it; the next call has a new one then."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def call(self, function: Callable[..., Held], *arguments: object) -> Held:
        """What the function gives there. Raises BrokenProcessPool where it ends the process."""
        self._pool = self._pool or ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        try:
            return self._pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            self._pool = None
            raise

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown()


@dataclass(frozen=True)
class Parser:
    """The compiled bridge, our plugins compiled against the same headers, and the process they are used in."""

    version: tuple[int, int]
    apart: Apart
    bridge: Path
    plugins: Path

    def hold(self, file: ModelProto, reference: ModelProto, *feeds: dict[str, np.ndarray]) -> Held:
        """What the parser makes of a file, against what ONNX Runtime makes of the reference."""
        given = (file.SerializeToString(), reference.SerializeToString(), feeds, self.version >= (10, 0))
        return self.apart.call(hold, self.bridge, self.plugins, *given)

    def loads(self, library: str, folder: Path) -> bool:
        """Whether the real registry of a fresh process, which stands in the folder, loads a library so named."""
        program = [sys.executable, str(HERE / "bridge.py"), str(self.bridge), library]
        # Without what OpenCV puts into it: an empty entry, which stands for the current folder.
        clean = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
        said = subprocess.run(
            program, cwd=folder, env=clean, check=True, capture_output=True, text=True
        ).stdout
        return {"True": True, "False": False}[said.split()[-1]]


@pytest.fixture(scope="session")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parser]:
    """NVIDIA's own parser of TensorRT 8.6.0."""
    # The older tag, DT_RPATH, serves the libraries that those are linked against as well.
    linked = [f"-l:libnv{name}.so.8" for name in ("onnxparser", "infer", "infer_plugin")]
    yield from _compiled(NVIDIAS, linked, [], tmp_path_factory.mktemp("parser"))


@pytest.fixture(scope="session")
def parser_10(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parser]:
    """The parser of 10.1, built from its source."""
    yield from _compiled(FROM_SOURCE, ["-l:libnvonnxparser.so"], FIELDS, tmp_path_factory.mktemp("parser_10"))


def _compiled(
    environment: Environment, linked: list[str], more: list[Path], folder: Path
) -> Iterator[Parser]:
    if shutil.which("g++") is None:
        pytest.skip("the mock network needs g++")
    if environment.lacks:
        pytest.skip(f"the parser is not here: {environment.lacks}")
    (folder / "mock.h").write_text(generate(environment.include))
    bridge, plugins = folder / "libbridge.so", folder / "libmaskrt_plugins.so"
    include = [f"-I{path}" for path in (HERE, HERE / "stubs", folder, PLUGINS)]
    common = ["g++", "-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-fvisibility=hidden", *include]
    common.append(f"-isystem{environment.include}")
    where = [f"-L{environment.libraries}", f"-Wl,--disable-new-dtags,-rpath,{environment.libraries}"]
    for output, sources, libraries in (
        (bridge, [HERE / "parse.cpp", *more], [*where, *linked]),
        (plugins, [HERE / "no_kernels.cpp", *PLUGIN_SOURCES], []),
    ):
        subprocess.run([*common, *map(str, sources), "-o", str(output), *libraries], check=True)
    if lacking := lacking_library(bridge):
        pytest.skip(f"the parser is here, and what it is linked against is not: {lacking}")
    with closing(Apart()) as apart:
        yield Parser(environment.version, apart, bridge, plugins)
