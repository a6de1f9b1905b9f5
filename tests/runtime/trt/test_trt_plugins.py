"""Which plugin library an engine gets: looked for in three places, chosen by its hash."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from maskrt.export.engine.choose import choose_operators
from maskrt.export.plugins.build import source_hash
from maskrt.runtime.backends.trt import plugins as trt_plugins
from maskrt.runtime.backends.trt.plugins import (
    LIBRARY,
    PluginError,
    choose_library,
    find_libraries,
    library_sha256,
    load_for_engine,
)

VERSION = "10.3.0"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and no MASKRT_PLUGINS."""
    monkeypatch.delenv("MASKRT_PLUGINS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def built(home: Path, key: str, content: bytes = b"library", age_s: int = 0) -> Path:
    path = home / "cache" / "maskrt" / "plugins" / key / LIBRARY
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    os.utime(path, (1e9 - age_s, 1e9 - age_s))
    return path


def test_finds_none_where_there_is_none(home: Path) -> None:
    assert find_libraries(VERSION, home) == []


def test_finds_what_build_plugins_built(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from maskrt.export.plugins.build import LIBRARY as built_name
    from maskrt.export.plugins.build import library_path

    path = library_path(VERSION, (87,))
    assert (path.name, path.is_relative_to(home)) == (built_name, True)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"library")

    assert find_libraries(VERSION) == [path]


def test_the_engine_s_folder_comes_before_the_cache_and_the_newest_build_first(home: Path) -> None:
    machine = platform.machine()
    old = built(home, f"a-trt10.3.0-sm87-{machine}", age_s=60)
    new = built(home, f"b-trt10.13.3-sm87-{machine}")
    (home / LIBRARY).write_bytes(b"beside")

    assert find_libraries(VERSION, home) == [home / LIBRARY, new, old]


@pytest.mark.parametrize(
    "key", ["a-trt8.6.1-sm87-{machine}", "a-trt11.1.0-sm87-{machine}", "a-trt10.3.0-sm87-vax"]
)
def test_builds_for_another_major_version_or_processor_are_none(home: Path, key: str) -> None:
    built(home, key.format(machine=platform.machine()))

    assert find_libraries(VERSION) == []


def test_the_variable_outranks_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(home, f"a-trt10.3.0-sm87-{platform.machine()}")
    named = home / "mine.so"
    named.write_bytes(b"mine")
    monkeypatch.setenv("MASKRT_PLUGINS", str(named))

    assert find_libraries(VERSION, home) == [named]


def test_a_variable_that_names_nothing_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKRT_PLUGINS", str(home / "gone.so"))

    with pytest.raises(PluginError, match=r"MASKRT_PLUGINS=.*gone\.so: no such file.*maskrt build-plugins"):
        find_libraries(VERSION)


def test_asking_for_python_finds_no_library(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(home, f"a-trt10.3.0-sm87-{platform.machine()}")
    monkeypatch.setenv("MASKRT_PLUGINS", "python")

    assert find_libraries(VERSION) == []


def test_of_several_builds_the_engine_s_own_is_chosen(home: Path) -> None:
    builds = [built(home, f"{i}-trt10.3.0-sm87-x", content=bytes([i])) for i in range(3)]

    assert choose_library(library_sha256(builds[1]), builds, "a.engine") == builds[1]


def test_a_rebuilt_library_is_hashed_again(home: Path) -> None:
    path = built(home, "a-trt10.3.0-sm87-x", content=b"first", age_s=60)
    first = library_sha256(path)
    path.write_bytes(b"second")

    assert library_sha256(path) != first


def test_another_build_is_refused_naming_both_sides(home: Path) -> None:
    path = built(home, "a-trt10.3.0-sm87-x")

    with pytest.raises(PluginError) as caught:
        choose_library("ab" * 32, [path], "a.engine")

    said = str(caught.value)
    assert said.startswith("a.engine: built with the plugin library abababababab, but here is ")
    assert f"{path} ({library_sha256(path)[:12]})" in said
    assert "MASKRT_PLUGINS=FILE" in said
    assert said.endswith("maskrt build MODEL.onnx -o a.engine")


def test_of_many_other_builds_the_first_are_named(home: Path) -> None:
    builds = [built(home, f"{i}-trt10.3.0-sm87-x", content=bytes([i])) for i in range(5)]

    with pytest.raises(PluginError, match=r"and 3 more\. Bring that library along"):
        choose_library("ab" * 32, builds, "a.engine")


def test_no_library_at_all_is_no_refusal_yet() -> None:
    assert choose_library("ab" * 32, [], "a.engine") is None


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """TensorRT's registry, as far as it loads a library: by dlopen, under the name that it is given."""
    given: list[str] = []

    def load(name: str) -> ctypes.CDLL:
        given.append(name)
        return ctypes.CDLL(name)

    trt = SimpleNamespace(__version__=VERSION, get_plugin_registry=lambda: SimpleNamespace(load_library=load))
    monkeypatch.setattr(trt_plugins, "import_tensorrt", lambda: trt)
    monkeypatch.setattr(trt_plugins, "clear_errors", lambda: None)
    monkeypatch.setattr(trt_plugins, "_loaded", {})
    return given


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a real library of one function in it."""
    source = home / "empty.c"
    source.write_text("int maskrt_answer(void) { return 42; }")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(home / LIBRARY), str(source)], check=True)
    monkeypatch.chdir(home)
    return home


def test_a_library_beside_an_engine_of_the_current_folder_is_loaded(here: Path, registry: list[str]) -> None:
    """The linker takes a name without a slash for one to look up in its own folders."""
    assert load_for_engine(library_sha256(here / LIBRARY), Path("model.engine")) == str(here / LIBRARY)
    assert registry == [str(here / LIBRARY)]


def test_a_library_that_the_variable_names_without_a_slash_is_loaded(
    here: Path, registry: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKRT_PLUGINS", LIBRARY)
    load_for_engine(library_sha256(here / LIBRARY), here / "elsewhere" / "model.engine")

    assert registry == [str(here / LIBRARY)]


def test_a_library_is_absolute_wherever_it_is_named_relatively(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes into plugins_to_serialize as it is found here."""
    built(here, f"a-trt10.3.0-sm87-{platform.machine()}")
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")

    found = find_libraries(VERSION, Path())
    assert [path.is_absolute() for path in found] == [True, True]
    assert choose_operators("auto", VERSION, Path(), "8.7").library == here / LIBRARY


@pytest.mark.parametrize(
    ("folder", "taken"),
    [
        ("{ours}-trt10.3.0-sm87-{machine}", True),
        ("{ours}-trt10.3.0-sm80_87_90-{machine}", True),
        ("{ours}-trt10.3.0-sm80-{machine}", True),  # newer GPUs take its PTX
        ("{ours}-trt10.3.0-sm89-{machine}", False),
        ("{ours}-trt10.3.0-sm80_90-{machine}", False),
        ("0123456789abcdef-trt10.3.0-sm87-{machine}", False),
    ],
)
def test_an_engine_is_built_with_this_source_s_kernels_for_this_gpu(
    folder: str, taken: bool, home: Path
) -> None:
    """And not with the newest file in the cache."""
    ours = source_hash()[:16]
    path = built(home, folder.format(ours=ours, machine=platform.machine()), age_s=60)
    built(home, f"fedcba9876543210-trt10.3.0-sm87-{platform.machine()}", content=b"newer, of other source")

    assert choose_operators("auto", VERSION, home, "8.7").library == (path if taken else None)
