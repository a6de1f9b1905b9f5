"""What launches the kernels agrees with what they were compiled as, and NVRTC compiles them for every GPU we serve."""

from __future__ import annotations

import ctypes
import functools
import itertools
import re

import numpy as np
import pytest

from maskrt.export.plugins import abi, nvrtc
from maskrt.export.plugins.abi import Storage
from maskrt.runtime.errors import MissingDependencyError
from tests.export.plugins.sass import kernels_of


class Grid(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_int), ("threads", ctypes.c_int)]


def as_tuple(grid: Grid | abi.Launch) -> tuple[int, int, int]:
    return grid.x, grid.y, grid.threads


@pytest.mark.parametrize("storage", Storage)
@pytest.mark.parametrize("channels", [1, 8, 9, 24, 64, 127, 128, 129, 256, 1024])
@pytest.mark.parametrize("size", [(1, 1), (7, 7), (14, 14), (28, 28), (3, 64)])
def test_launch_of_roi_align(host, size, channels, storage):
    params = abi.RoiAlignParams(count=1000, channels=channels, output_height=size[0], output_width=size[1])
    grid = Grid()
    host.library.maskrt_host_roi_align_grid(ctypes.byref(params), int(storage), ctypes.byref(grid))
    launch = abi.roi_align_launch(params, storage, "avg")
    assert as_tuple(launch) == as_tuple(grid)
    assert 32 <= launch.threads <= 256
    assert launch.threads % 32 == 0


@pytest.mark.parametrize("storage", Storage)
@pytest.mark.parametrize("outputs", [1, 127, 128, 129, 512])
@pytest.mark.parametrize("sides", [(0, 5), (1, 1), (4, 4), (17, 18), (138, 138)])
def test_launch_of_deform_conv(host, sides, outputs, storage):
    params = abi.DeformConvParams(batch=3, outputs=outputs, output_height=sides[0], output_width=sides[1])
    grid = Grid()
    host.library.maskrt_host_deform_conv_grid(ctypes.byref(params), ctypes.byref(grid))
    assert as_tuple(abi.deform_conv_launch(params, storage)) == as_tuple(grid)


@pytest.mark.parametrize("rows", [0, 1, 32, 33, 64, 65, 4819, abi.MAX_ROWS])
@pytest.mark.parametrize("groups", [1, 5, 91, abi.MAX_GROUPS])
def test_launches_and_work_space_of_nms(host, rows, groups):
    params = abi.NmsParams(batch=3, rows=rows, num_groups=groups, max_output=100)
    grids = (Grid * 4)()
    host.library.maskrt_host_nms_grids(ctypes.byref(params), grids)
    assert [as_tuple(launch) for launch in abi.nms_launches(params)] == [as_tuple(grid) for grid in grids]
    assert host.library.maskrt_host_nms_image_bytes(rows, groups) == abi.nms_image_bytes(rows, groups)


def test_level_thresholds(host):
    for level, canonical_level in itertools.product(range(12), range(12)):
        expected = host.library.maskrt_host_level_threshold(level, canonical_level)
        assert abi.level_threshold(level, canonical_level) == expected


def test_every_launched_kernel_exists():
    nms = {launch.kernel for launch in abi.nms_launches(abi.NmsParams(rows=1, batch=1, num_groups=1))}
    params = abi.RoiAlignParams(count=1, channels=8, output_height=7, output_width=7)
    modes = ("avg", "max")
    roi_align = {abi.roi_align_launch(params, storage, mode).kernel for storage in Storage for mode in modes}
    deform_conv = {abi.deform_conv_launch(abi.DeformConvParams(), storage).kernel for storage in Storage}
    launched = {"roi_align.cu": roi_align, "nms.cu": nms, "deform_conv.cu": deform_conv}
    assert launched == {program: set(kernels) for program, kernels in nvrtc.PROGRAMS.items()}
    sources = "".join((nvrtc.SOURCES / program).read_text() for program in nvrtc.PROGRAMS)
    assert roi_align | nms | deform_conv == set(re.findall(r"_KERNEL\((maskrt_\w+),", sources))


def test_half_precision_of_the_host_build_is_numpys(host):
    bits = np.arange(65536, dtype=np.uint16)
    values = np.array([host.library.maskrt_host_float_from_half(int(b)) for b in bits], np.float32)
    np.testing.assert_array_equal(values, bits.view(np.float16).astype(np.float32))
    rng = np.random.default_rng(0)
    finite = values[np.isfinite(values)]
    between = (finite[:-1] + finite[1:]) / 2  # ties among them
    floats = np.concatenate(
        [finite, between, rng.standard_normal(5000), [0.0, -0.0, 65519.9, 65520, 1e-9, np.inf]]
    )
    floats = floats.astype(np.float32)
    halves = np.array([host.library.maskrt_host_half_from_float(float(f)) for f in floats], np.uint16)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(halves, floats.astype(np.float16).view(np.uint16))


def nvrtc_archs() -> list[int]:
    try:
        return nvrtc.supported_archs()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    except (
        Exception
    ) as error:  # cuda-python raises RuntimeError, or its own type, where the library is missing
        pytest.skip(f"no NVRTC library on this machine: {error}")


@functools.cache
def compiled(program: str, arch: int) -> bytes:
    if arch not in (known := nvrtc_archs()):
        pytest.skip(f"this NVRTC compiles for {known} only")
    return nvrtc.compile_program(program, arch)


@pytest.mark.parametrize("arch", [75, 80, 86, 87, 89, 90, 100, 110])
@pytest.mark.parametrize(("program", "kernels"), nvrtc.PROGRAMS.items())
def test_nvrtc_compiles_every_kernel(program, kernels, arch):
    cubin = compiled(program, arch)
    assert cubin[:4] == b"\x7fELF"
    assert set(kernels) <= {name.decode() for name in re.findall(rb"\.text\.(\w+)", cubin)}


@pytest.mark.parametrize("arch", [80, 86, 87, 89, 90, 100, 110])
@pytest.mark.parametrize(("program", "kernels"), nvrtc.PROGRAMS.items())
def test_machine_code_takes_few_registers_and_spills_in_no_inner_loop(program, kernels, arch, tmp_path):
    """64 registers let four blocks of 256 threads share a multiprocessor."""
    code = kernels_of(compiled(program, arch), tmp_path)
    assert set(code) == set(kernels)
    for name, kernel in code.items():
        assert kernel.registers <= 64, name
        assert not [loop for loop in kernel.innermost_loops() if kernel.has("LDL|STL", loop)], name


@pytest.mark.parametrize("arch", [80, 86, 87, 89, 90, 100, 110])
def test_machine_code_of_roi_align_neither_spills_nor_divides_where_samples_are_read(arch, tmp_path):
    for name, kernel in kernels_of(compiled("roi_align.cu", arch), tmp_path).items():
        over_samples = [at for at in kernel.loops() if kernel.has("LDG", at) and not kernel.has("STG", at)]
        assert not [at for at in over_samples if kernel.has("LDL|STL", at)], name
        tabled = [at for at in over_samples if kernel.has("LDS", at) and not kernel.has("MUFU|CALL", at)]
        assert len(tabled) == 2, name  # the rows and the columns of a bin's samples


def test_a_kernel_that_does_not_compile_is_told_with_the_compilers_words(tmp_path, monkeypatch):
    nvrtc_archs()
    (tmp_path / "broken.cu").write_text('extern "C" __global__ void broken() { undeclared = 1; }')
    monkeypatch.setattr(nvrtc, "SOURCES", tmp_path)
    with pytest.raises(
        nvrtc.KernelError, match=r"(?s)broken.cu: NVRTC does not compile it for sm_90 .*undeclared"
    ):
        nvrtc.compile_program("broken.cu", 90)


def test_an_unknown_gpu_is_told_with_those_that_are_known():
    nvrtc_archs()
    with pytest.raises(
        nvrtc.KernelError, match=r"roi_align.cu: NVRTC does not compile it for sm_20 .*it knows \d+, "
    ):
        nvrtc.compile_program("roi_align.cu", 20)
