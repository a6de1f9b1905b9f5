"""The C++ example's own part: its canvas is the one of runtime/preprocess.py."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from runtime.contract import Canvas
from runtime.preprocess import preprocess
from tests.conftest import REPOSITORY
from tests.models import scene

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


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("g++") is None:
        pytest.skip("compiling the example needs g++")
    folder = tmp_path_factory.mktemp("cpp")
    (folder / "main.cpp").write_text(PROGRAM)
    flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{REPOSITORY / 'examples/cpp'}"]
    subprocess.run(["g++", *flags, "main.cpp", "-o", "canvas"], cwd=folder, check=True)
    return folder / "canvas"


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
