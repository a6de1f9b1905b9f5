"""`maskrt build-plugins`: what it finds, what it says when something is missing, and the library it builds."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from maskrt.export.plugins import build, toolchain
from maskrt.export.plugins.build import build_plugins, library_path
from maskrt.export.plugins.toolchain import BuildError, find_nvcc, find_tensorrt, gpu_arch, parse_arch

HEADERS = {
    "8.6.1": "#define NV_TENSORRT_MAJOR 8 //!< major\n#define NV_TENSORRT_MINOR 6\n#define NV_TENSORRT_PATCH 1\n"
    "#define NV_TENSORRT_SONAME_MAJOR 9\n#define NV_TENSORRT_LWS_PATCH 5\n",
    "10.3.0": "#define NV_TENSORRT_MAJOR 10\n#define NV_TENSORRT_MINOR 3\n#define NV_TENSORRT_PATCH 0\n",
    "10.13.3": "#define TRT_MAJOR_ENTERPRISE 10\n#define TRT_MINOR_ENTERPRISE 13\n#define TRT_PATCH_ENTERPRISE 3\n"
    "#define NV_TENSORRT_MAJOR TRT_MAJOR_ENTERPRISE //!< major\n",
}


def tensorrt_in(folder: Path, version: str = HEADERS["10.3.0"]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "NvInferRuntime.h").touch()
    (folder / "NvInferVersion.h").write_text(version)
    return folder


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch, tmp_path):
    """No variable of this machine's environment decides, and the user's cache is an empty one."""
    for name in ("TENSORRT_ROOT", "CUDACXX", "CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("version", HEADERS)
def test_the_version_is_read_from_the_headers(version, tmp_path):
    include = tensorrt_in(tmp_path / "include", HEADERS[version])
    assert find_tensorrt(tmp_path).version_text == version
    assert find_tensorrt(tmp_path).include == include


@pytest.mark.parametrize("place", ["include", "include/x86_64-linux-gnu", "."])
def test_tensorrt_root_may_be_a_tar_a_prefix_or_the_include_folder(place, tmp_path, monkeypatch):
    monkeypatch.setattr(toolchain.platform, "machine", lambda: "x86_64")
    include = tensorrt_in(tmp_path / place)
    monkeypatch.setenv("TENSORRT_ROOT", str(tmp_path))
    assert find_tensorrt().include.resolve() == include.resolve()


def test_missing_headers_are_told_with_where_they_were_looked_for(tmp_path):
    with pytest.raises(
        BuildError, match=rf"NvInferRuntime.h.*{tmp_path}/include,.*libnvinfer-headers-dev.*Python plugin"
    ):
        find_tensorrt(tmp_path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            HEADERS["8.6.1"].replace("MINOR 6", "MINOR 5"),
            "TensorRT 8.5.1; the plugins support 8.6, and 10.0 and later",
        ),
        (HEADERS["8.6.1"].replace("_MAJOR 8", "_MAJOR 9"), "TensorRT 9.6.1; the plugins support"),
        ("#define SOMETHING 1\n", "no TensorRT version in it"),
    ],
)
def test_headers_of_another_version_are_refused(header, message, tmp_path):
    tensorrt_in(tmp_path / "include", header)
    with pytest.raises(BuildError, match=f"NvInferVersion.h: {message}"):
        find_tensorrt(tmp_path)


def test_a_missing_nvcc_is_told(monkeypatch):
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None)
    with pytest.raises(BuildError, match=r"nvcc was not found in PATH.*CUDA_HOME.*Python plugin"):
        find_nvcc()


def test_nvcc_of_cuda_home_goes_first(tmp_path, monkeypatch):
    nvcc = fake_nvcc(tmp_path / "bin", "exit 0")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert find_nvcc() == nvcc


@pytest.mark.parametrize(
    ("text", "archs"),
    [
        ("87", (87,)),
        ("sm_90", (90,)),
        ("8.9", (89,)),
        ("110", (110,)),
        ("10.0", (100,)),
        ("90, 7.5;sm_87,90", (75, 87, 90)),
    ],
)
def test_arch_may_be_written_in_any_usual_way(text, archs):
    assert parse_arch(text) == archs


@pytest.mark.parametrize("text", ["", "orin", "9", "sm_9000", "87,,90"])
def test_what_is_no_arch_is_refused(text):
    with pytest.raises(BuildError, match=r"is not a compute capability; expected e\.g\. 87"):
        parse_arch(text)


class Driver:
    """libcuda with one GPU of compute capability 8.7, or failing at a call. It takes no flags (CUDA Driver API)."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing

    def cuInit(self, flags: int) -> int:
        return 100 if self.failing == "cuInit" else int(flags != 0)

    def cuDeviceGet(self, device: object, index: int) -> int:
        return 101 if self.failing == "cuDeviceGet" or index else 0

    def cuDeviceGetAttribute(self, value: object, attribute: int, device: object) -> int:
        value._obj.value = {75: 8, 76: 7}[attribute]
        return 0


def test_the_arch_is_the_gpus(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert gpu_arch() == 87


@pytest.mark.parametrize(("call", "code"), [("cuInit", 100), ("cuDeviceGet", 101)])
def test_a_machine_without_a_gpu_is_told_to_name_one(monkeypatch, call, code):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(failing=call))
    with pytest.raises(
        BuildError, match=rf"No NVIDIA GPU answers.*\({call} returned CUDA error {code}\).*--arch 87"
    ):
        gpu_arch()


def test_a_machine_without_a_driver_is_told_to_name_a_gpu(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(BuildError, match=r"no NVIDIA driver.*libcuda.so.1.*--arch 87"):
        gpu_arch()


def fake_nvcc(folder: Path, body: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nvcc"
    path.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\nwhile [ "$1" != -o ]; do shift; done\n{body}\n')
    path.chmod(0o755)
    return path


def test_a_library_is_built_once_and_then_found_in_the_cache(tmp_path, monkeypatch):
    fake_nvcc(tmp_path / "bin", 'echo built > "$2"')
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    tensorrt_in(tmp_path / "include")
    library = build_plugins(tmp_path, "87")
    assert library == library_path("10.3.0", (87,))
    assert (
        build_plugins(tmp_path, "87", tmp_path / "out" / "plugins.so").read_text()
        == library.read_text()
        == "built\n"
    )
    (call,) = (tmp_path / "bin" / "calls").read_text().splitlines()
    assert f"-isystem {tmp_path / 'include'}" in call
    assert "-gencode=arch=compute_87,code=[sm_87,compute_87]" in call
    assert f"--version-script={build.EXPORTS}" in call
    assert sorted(p.name for p in library.parent.iterdir()) == [library.name]  # nothing half-built stays


def test_headers_where_the_compiler_looks_by_itself_are_not_named_again():
    include = Path("/usr/include/aarch64-linux-gnu")
    assert "-isystem" not in build.compile_command(Path("nvcc"), include, (87,), Path("plugins.so"))


def test_the_place_in_the_cache_follows_from_all_that_goes_into_it(monkeypatch):
    path = library_path("10.3.0", (87,))
    assert (
        len(
            {
                path,
                library_path("10.3.1", (87,)),
                library_path("10.3.0", (89,)),
                library_path("10.3.0", (87, 89)),
            }
        )
        == 4
    )
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-g"))
    assert library_path("10.3.0", (87,)) != path


def test_a_failing_compiler_leaves_nothing_and_has_the_last_word(tmp_path, monkeypatch):
    fake_nvcc(tmp_path / "bin", 'echo half > "$2"; echo "block.h(7): error: no such thing"; exit 2')
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    tensorrt_in(tmp_path / "include")
    with pytest.raises(
        BuildError,
        match=r"(?s)could not build the plugins for sm_87, sm_90.*exit code 2.*block.h\(7\): error",
    ):
        build_plugins(tmp_path, "87,90")
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_the_command_prints_one_sentence_and_exits_with_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        build.main(["--tensorrt-root", str(tmp_path), "--arch", "87"])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "TensorRT's headers" in message
    assert len(message.splitlines()) == 1


def test_the_library_shows_nothing_of_the_cpp_library(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("linking a library needs g++")
    source = tmp_path / "library.cpp"
    source.write_text(
        "#include <string>\n#include <vector>\n"
        'extern "C" __attribute__((visibility("default"))) void setLoggerFinder(std::vector<std::string>* list) {\n'
        '    list->push_back(std::to_string(list->size()) + "th");\n}\n'
    )
    shown = []
    for exports in ([], [f"-Wl,--version-script={build.EXPORTS}"]):
        flags = ["-std=c++17", "-fvisibility=hidden", "-shared", "-fPIC", *exports]
        subprocess.run(["g++", *flags, str(source), "-o", str(tmp_path / "library.so")], check=True)
        nm = ["nm", "-D", "--defined-only", str(tmp_path / "library.so")]
        symbols = subprocess.run(nm, capture_output=True, text=True, check=True).stdout
        shown.append([line.split()[-1] for line in symbols.splitlines()])
    assert len(shown[0]) > 1  # hiding by the compiler alone does not hold for templates of namespace std
    assert shown[1] == ["setLoggerFinder"]


def test_cmake_builds_the_same_sources():
    text = (build.FOLDER / "CMakeLists.txt").read_text()
    listed = re.search(r"add_library\(maskrt_plugins SHARED\s+([^)]+)\)", text)[1].split()
    assert listed == sorted(build.SOURCES)
    assert set(listed) == {p.name for p in build.FOLDER.glob("*.c*") if p.suffix in (".cu", ".cpp")} - {
        "host_shim.cpp"
    }
