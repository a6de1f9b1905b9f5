"""The C++ example's own part: its canvas is runtime/preprocess.py's, and it loads nothing that does not fit."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.samples import scene
from maskrt.runtime.contract import Canvas
from maskrt.runtime.preprocess import preprocess
from tests.conftest import REPOSITORY

ROUNDING = 1  # grey levels: OpenCV's resize of bytes is in fixed point, the example's in float32

PROGRAM = """
#include <cstdio>
#include "canvas.h"
int main(int, char** a) {
    auto number = [&](int i) { return std::atoi(a[i]); };
    try {
        Canvas const c = make_canvas(read_ppm(a[1]), {number(2), number(3), number(4), number(5), number(6)});
        std::printf("%d %d %d %d\\n", c.height, c.width, c.valid_height, c.valid_width);
        std::fwrite(c.rgb.data(), 1, c.rgb.size(), stdout);
    } catch (std::exception const& error) {
        std::fputs(error.what(), stderr);
        return 2;
    }
}
"""


# COMPILED RUNNING LIBRARY: loads the library as TensorRT does, if it may.
LOADER = """
#include <cstdio>
#include <dlfcn.h>
#include "loading.h"
int main(int, char** a) {
    try {
        expect_tensorrt(std::stoi(a[1]), std::stoi(a[2]));
        if (dlopen(a[3], RTLD_NOW) != nullptr) return 3;  // by its bare name
        return dlopen(library_path(a[3]).c_str(), RTLD_NOW) == nullptr;
    } catch (std::exception const& error) {
        std::fputs(error.what(), stderr);
        return 2;
    }
}
"""


def compiled(folder: Path, source: str, *flags: str) -> Path:
    if shutil.which("g++") is None:
        pytest.skip("compiling the example needs g++")
    (folder / "main.cpp").write_text(source)
    warnings = ["-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{REPOSITORY / 'examples/cpp'}"]
    subprocess.run(["g++", *warnings, *flags, "main.cpp", "-o", "program", "-ldl"], cwd=folder, check=True)
    return folder / "program"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("canvas"), PROGRAM, "-O2")


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside it the smallest library, under the name of ours."""
    folder = tmp_path_factory.mktemp("loader")
    library = ["g++", "-shared", "-fPIC", "-x", "c++", "/dev/null", "-o", "libmaskrt_plugins.so"]
    program = compiled(folder, LOADER)
    subprocess.run(library, cwd=folder, check=True)
    return program


def load(loader: Path, compiled: int, running: int, library: str) -> tuple[int, str]:
    line = [str(loader), str(compiled), str(running), library]
    bare = {
        name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"
    }  # may name this folder
    done = subprocess.run(line, cwd=loader.parent, env=bare, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("headers", "library"), [(8600, 8600), (8601, 8601), (100300, 100300), (100300, 101303), (110100, 110401)]
)
def test_the_tensorrt_it_was_compiled_for_runs_it_and_so_do_later_ones_from_10_on(
    headers: int, library: int, loader: Path
) -> None:
    assert load(loader, headers, library, "libmaskrt_plugins.so") == (0, "")


@pytest.mark.parametrize(
    ("headers", "library", "names"),
    [
        (8601, 8600, "TensorRT 8.6.1, but the library is 8.6.0"),
        (8600, 8601, "TensorRT 8.6.0, but the library is 8.6.1"),
        (101303, 100300, "TensorRT 10.13.3, but the library is 10.3.0"),
        (100300, 110100, "TensorRT 10.3.0, but the library is 11.1.0"),
        (100300, 8601, "TensorRT 10.3.0, but the library is 8.6.1"),
    ],
)
def test_a_tensorrt_that_its_headers_do_not_describe_is_refused(
    headers: int, library: int, names: str, loader: Path
) -> None:
    code, message = load(loader, headers, library, "libmaskrt_plugins.so")
    assert (code, names in message, "compile it again" in message) == (2, True, True)


def test_a_plugin_library_that_is_not_there_is_named(loader: Path) -> None:
    code, message = load(loader, 100300, 100300, "nothing.so")
    assert code == 2
    assert "nothing.so: No such file or directory; build it: maskrt build-plugins" in message


def test_the_example_asks_both_before_it_calls_tensorrt() -> None:
    text = (REPOSITORY / "examples/cpp/main.cpp").read_text()
    calls = [
        "expect_tensorrt(",
        "library_path(",
        "cudaSetDevice(",
        "initLibNvInferPlugins(",
        "loadLibrary(library",
    ]
    places = [text.index(call) for call in calls]
    assert places == sorted(places)


def write_ppm(path: Path, image: np.ndarray) -> Path:
    path.write_bytes(f"P6\n{image.shape[1]} {image.shape[0]}\n255\n".encode() + image.tobytes())
    return path


@pytest.mark.parametrize("shape", [(256, 320), (320, 250), (100, 90), (31, 640), (64, 64)])
@pytest.mark.parametrize("fixed", [(0, 0), (256, 320)])
def test_the_canvas_is_the_runtimes(
    shape: tuple[int, int], fixed: tuple[int, int], program: Path, tmp_path: Path
) -> None:
    image = np.ascontiguousarray(np.resize(scene(3), (*shape, 3)))
    rule = Canvas(128, 213, 32, fixed[0] or None, fixed[1] or None, "uint8")
    expected = preprocess([image], rule)
    sides = map(str, (rule.min_size_px, rule.max_size_px, rule.stride, *fixed))
    line = [str(program), str(write_ppm(tmp_path / "image.ppm", image)), *sides]
    done = subprocess.run(line, capture_output=True, check=True)
    head, _, pixels = done.stdout.partition(b"\n")
    height, width, *valid = (int(number) for number in head.split())
    assert (height, width) == expected.images.shape[1:3]
    assert valid == expected.image_sizes[0].tolist()
    canvas = np.frombuffer(pixels, np.uint8).reshape(height, width, 3).astype(int)
    np.testing.assert_allclose(canvas, expected.images[0].astype(int), atol=ROUNDING)
    assert not canvas[int(valid[0]) :].any()


@pytest.mark.parametrize(
    "content", [b"", b"P5\n2 2\n255\n1234", b"P6\n2 2\n255\n123", b"P6\n2 2\n65535\n" + b"1" * 24]
)
def test_what_is_no_picture_is_refused_by_name(content: bytes, program: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.ppm"
    path.write_bytes(content)
    done = subprocess.run([program, path, "128", "213", "32", "0", "0"], capture_output=True, text=True)
    assert done.returncode == 2
    assert str(path) in done.stderr
