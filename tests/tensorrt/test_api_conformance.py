"""Every name of TensorRT's Python package that we use exists in each supported version, or is not reached there.

The bindings are the real ones; TensorRT itself is not needed (bindings.py).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tensorrt.bindings import WHEELS, Api, Version, read_api
from tests.tensorrt.uses import MODULE, Use, find_uses

REPOSITORY = Path(__file__).resolve().parents[2]
#: Files that run on later versions alone; in brackets, what keeps them so.
SINCE: dict[str, Version] = {
    "export/plugins/python_plugin.py": (10, 0, 0),  # (_import_tensorrt)
    "export/engine/progress.py": (10, 0, 0),  # (build_engine._attempt)
}
FILES = sorted(
    str(file.relative_to(REPOSITORY))
    for stage in ("export", "runtime")
    for file in (REPOSITORY / stage).rglob("*.py")
    if re.search(r"\btrt\b", file.read_text(encoding="utf-8"))
)


@pytest.fixture(scope="module", params=WHEELS, ids=lambda version: ".".join(map(str, version)))
def version(request: pytest.FixtureRequest) -> Version:
    return request.param


@pytest.fixture(scope="module")
def api(version: Version) -> Api:
    return read_api(version)


def test_the_bindings_are_those_of_the_version(version: Version, api: Api) -> None:
    assert api.version.startswith(".".join(map(str, version)))
    assert {"Builder", "Runtime", "OnnxParser", "ICudaEngine"} <= api.classes.keys()


@pytest.mark.parametrize("file", FILES)
def test_every_name_that_is_used_exists(file: str, version: Version, api: Api) -> None:
    if version < SINCE.get(file, version):
        pytest.skip(f"not for TensorRT {version}")
    missing = [use for use in find_uses(REPOSITORY / file, version, api) if not use.exists(api)]
    assert missing == []


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("export/build_engine.py", ["Builder.build_serialized_network", "IBuilderConfig.progress_monitor",
                                    "EngineInspector.get_engine_information", "MemoryPoolType.WORKSPACE"]),
        ("export/engine/configure.py", ["NetworkDefinitionCreationFlag.STRONGLY_TYPED", "ITimingCache.combine",
                                        "IOptimizationProfile.set_shape", "IBuilderConfig.plugins_to_serialize"]),
        ("export/engine/parse.py", ["OnnxParser.get_error", "ParserError.desc", "ParserError.node"]),
        ("runtime/backends/trt/execution.py", ["IExecutionContext.execute_async_v3", "ICudaEngine.device_memory_size_v2",
                                      "IExecutionContext.set_tensor_address"]),
        ("runtime/backends/trt/session.py", ["Runtime.deserialize_cuda_engine", "ICudaEngine.get_tensor_dtype"]),
        ("runtime/backends/trt/plugins.py", ["IPluginRegistry.load_library"]),
        ("export/plugins/python_plugin.py", [f"{MODULE}.IPluginV3OneBuild", f"{MODULE}.DimsExprs"]),
    ],
)  # fmt: skip
def test_the_search_sees_what_the_files_use(file: str, names: list[str]) -> None:
    version = max(WHEELS)
    found = {f"{use.owner}.{use.name}" for use in find_uses(REPOSITORY / file, version, read_api(version))}
    assert set(names) <= found


SOURCE = """
OLD = (10, 0)
def build(trt, version: tuple, config: Any):
    if version < (9, 0): _only_8_6(trt, config)
    {body}
def _only_8_6(trt, config: Any):
    config.set_flag(trt.BuilderFlag.STRICT_TYPES)
"""


@pytest.mark.parametrize(
    ("body", "missing_in"),
    [
        ("config.progress_monitor = trt.IProgressMonitor()", [(8, 6, 1)]),
        ("config.set_flag(trt.BuilderFlag.FP16)", [(11, 4, 0)]),
        ("if version < (10, 0): _only_8_6(trt, config)", []),
        ("_only_8_6(trt, config)", [(10, 3, 0), (10, 13, 3), (11, 4, 0)]),
        ("if version < OLD: return\n    config.progress_monitor = 1", []),
        ("if version >= OLD: return\n    config.progress_monitor = 1", [(8, 6, 1)]),
        ("x = config.max_workspace_size if version < OLD else config.progress_monitor", []),
        ("x = trt.EngineStat if hasattr(trt, 'EngineStat') else None", []),
        ("if major_minor(trt.__version__)[0] >= 10: trt.IProgressMonitor", []),
        ("b = trt.Builder(0)\n    b.create_network(1).no_such_name", list(WHEELS)),
        ("for i in (1, 2):\n        with config.no_such_name: pass", list(WHEELS)),
    ],
)
def test_a_name_that_a_version_lacks_is_found_unless_it_is_guarded(
    body: str, missing_in: list[Version], tmp_path: Path
) -> None:
    file = tmp_path / "file.py"
    file.write_text(SOURCE.format(body=body))

    def lacks(version: Version) -> list[Use]:
        api = read_api(version)
        return [use for use in find_uses(file, version, api) if not use.exists(api)]

    assert [version for version in WHEELS if lacks(version)] == missing_in
