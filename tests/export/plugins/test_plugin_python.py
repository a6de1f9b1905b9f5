"""The Python plugin without TensorRT: attributes, refusals, and that nothing is imported before it is asked for."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from maskrt.export.plugins import nvrtc, python_plugin
from maskrt.export.plugins.python_operators import (
    OPERATORS,
    DeformConvOperator,
    NmsOperator,
    RoiAlignOperator,
    read_fields,
    write_fields,
)
from maskrt.export.plugins.python_tensors import HALF_CHANNELS_LAST, INTEGER, REAL, TensorKind
from maskrt.runtime.errors import MaskrtError, MissingDependencyError, ModelError

ROI_ALIGN = RoiAlignOperator(
    7, 14, (4, 8, 16, 32), sampling_ratio=2, aligned=1, method="warp", mode="max", canonical_scale=112.0
)
NMS = NmsOperator(0.5, 0.05, 100, 5)
DEFORM = DeformConvOperator(3, 2, 1)
HALF_LINEAR = TensorKind("HALF", "LINEAR")
SHAPES = [(1000, 4), (1000,), (2, 256, 64, 64), (2, 256, 32, 32), (2, 256, 16, 16), (2, 256, 8, 8)]


@pytest.mark.parametrize("operator", [ROI_ALIGN, RoiAlignOperator(1, 1, (8,)), NMS, DEFORM])
def test_attributes_survive_an_engine(operator):
    assert read_fields(type(operator), write_fields(operator)) == replace(
        operator, **{k: float(np.float32(v)) for k, v in vars(operator).items() if isinstance(v, float)}
    )


def test_attributes_come_as_a_parser_gives_them():
    fields = {
        "output_height": np.array([7], np.int32),
        "output_width": np.array([14], np.int64),
        "strides": np.array([4, 8], np.int32),
        "mode": np.frombuffer(b"max\0", np.int8),
        "plugin_namespace": np.frombuffer(b"maskrt", np.int8),
    }
    assert read_fields(RoiAlignOperator, fields) == RoiAlignOperator(7, 14, (4, 8), mode="max")


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_missing_attribute_is_named(operator):
    with pytest.raises(
        ModelError, match=f"maskrt::{operator.NAME}: attribute '{operator.REQUIRED[0]}, .* is missing"
    ):
        read_fields(operator, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output_height": 0}, "output_height is 0; expected 1 to 64"),
        ({"output_width": 65}, "output_width is 65; expected 1 to 64"),
        ({"sampling_ratio": 2000}, "sampling_ratio is 2000"),
        ({"aligned": 2}, "aligned is 2; expected 0 or 1"),
        ({"method": "roll"}, r"method is 'roll'; expected one of \('align', 'warp', 'pool', 'crop'\)"),
        ({"method": "crop"}, "mode is 'max'; expected 'avg' with method 'crop'"),
        ({"mode": "mean"}, "mode is 'mean'; expected 'avg' or 'max' with method 'warp'"),
        ({"method": "pool", "mode": "avg"}, "mode is 'avg'; expected 'max' with method 'pool'"),
        ({"canonical_scale": 0.0}, "canonical_scale is 0.0"),
        ({"strides": ()}, r"strides is \(\); expected 1 to 5 powers of two"),
        ({"strides": (4, 8, 12)}, r"strides is \(4, 8, 12\)"),
        ({"strides": (8, 4)}, r"strides is \(8, 4\)"),
        ({"strides": (1, 2, 4, 8, 16, 32)}, "strides is .*expected 1 to 5"),
    ],
)
def test_attributes_that_no_kernel_has_are_refused(change, message):
    with pytest.raises(ModelError, match=f"maskrt::PyramidRoiAlign: {message}"):
        replace(ROI_ALIGN, **change)


@pytest.mark.parametrize(
    ("change", "message"), [({"max_output": 0}, "max_output is 0"), ({"num_groups": 0}, "num_groups is 0")]
)
def test_nms_attributes_that_mean_nothing_are_refused(change, message):
    with pytest.raises(ModelError, match=f"maskrt::GroupedNms: {message}"):
        replace(NMS, **change)


@pytest.mark.parametrize(
    ("place", "shape", "message"),
    [
        (0, (1000, 5), r"rois are \(1000, 5\); expected \(R, 4\)"),
        (1, (999,), r"batch_indices are \(999,\) for rois \(1000, 4\); expected one a RoI"),
        (4, (2, 128, 16, 16), r"feature map 2 is \(2, 128, 16, 16\), the first \(2, 256, 64, 64\)"),
        (5, (1, 256, 8, 8), r"feature map 3 is \(1, 256, 8, 8\)"),
        (2, (2, 256, 64), r"expected rois \(R, 4\), batch_indices \(R,\) and 4 feature maps"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(place, shape, message):
    ROI_ALIGN.check(SHAPES)
    with pytest.raises(ModelError, match=message):
        ROI_ALIGN.check([*SHAPES[:place], shape, *SHAPES[place + 1 :]])


def test_levels_are_chosen_as_the_paper_does_unless_said_otherwise():
    """Feature Pyramid Networks, arXiv:1612.03144, eq. 1: an ImageNet picture's 224 px belong to level 4."""
    operator = RoiAlignOperator(7, 7, (4, 8, 16, 32))
    assert (operator.canonical_scale, operator.canonical_level) == (224.0, 4)
    assert (operator.sampling_ratio, operator.aligned, operator.method, operator.mode) == (
        0,
        0,
        "align",
        "avg",
    )


@pytest.mark.parametrize("shape", [(1, 1000, 2100, 1100), (1, 1, 17000, 17000), (1, 256, 4000, 2042)])
def test_maps_beyond_what_32_bits_address_are_refused(shape):
    operator = RoiAlignOperator(7, 7, (4,))
    with pytest.raises(ModelError, match=r"an image of feature map 0 is .*expected less than 4 GiB"):
        operator.check([(9, 4), (9,), shape])
    operator.check([(9, 4), (9,), (1, 256, 4000, 2040)])


@pytest.mark.parametrize(
    "bounds",
    [
        [(1024, 4), (1000,), *SHAPES[2:]],
        [*SHAPES[:2], (4, 256, 64, 64), *SHAPES[3:]],
        [*SHAPES[:2], *[(8, 256, 20000, 20000)] * 4],
    ],
)
def test_upper_bounds_need_not_fit_together(bounds):
    ROI_ALIGN.check(bounds, exact=False)
    with pytest.raises(ModelError):
        ROI_ALIGN.check(bounds)


def test_upper_bounds_of_nms_need_not_fit_together():
    bounds = [(4, 40000, 4), (4, 32768), (8, 32768)]
    NMS.check(bounds, exact=False)
    with pytest.raises(ModelError):
        NMS.check(bounds)


@pytest.mark.parametrize(
    ("operator", "bounds"),
    [
        (ROI_ALIGN, [(1000, 5), *SHAPES[1:]]),
        (ROI_ALIGN, [(1000, 4), (1000, 1), *SHAPES[2:]]),
        (ROI_ALIGN, [*SHAPES[:5], (2, 128, 8, 8)]),
        (NMS, [(2, 9, 5), (2, 9), (2, 9)]),
        (NMS, [(2, 9, 4), (2, 9), (9,)]),
    ],
)
def test_ranks_and_constant_extents_hold_for_bounds_too(operator, bounds):
    with pytest.raises(ModelError, match=f"maskrt::{operator.NAME}: "):
        operator.check(bounds, exact=False)


class FakeTensorRT:
    """The interfaces that a plugin derives from, without TensorRT behind them."""

    IPluginV3 = type("IPluginV3", (), {})
    IPluginV3OneCore = type("IPluginV3OneCore", (), {})
    IPluginV3OneBuild = type("IPluginV3OneBuild", (), {})
    IPluginV3OneRuntime = type("IPluginV3OneRuntime", (), {})


def test_a_wildcard_makes_bounds_of_shapes():
    def tensor(dims, largest):
        return SimpleNamespace(desc=SimpleNamespace(dims=dims), max=largest)

    plugin = python_plugin.plugin_class(FakeTensorRT)(NMS)
    dynamic = [tensor((-1, 9, 4), (8, 9, 4)), tensor((-1, 9), (4, 9)), tensor((-1, 9), (4, 9))]
    plugin.configure_plugin(dynamic, [])
    assert plugin.get_workspace_size(dynamic, []) == NMS.workspace_bytes([(8, 9, 4)])
    fixed = [tensor(t.max, t.max) for t in dynamic]
    with pytest.raises(ModelError, match=r"boxes are \(8, 9, 4\), scores \(4, 9\)"):
        plugin.configure_plugin(fixed, [])


def test_times_are_cached_under_every_attribute():
    plugin = python_plugin.plugin_class(FakeTensorRT)
    changes = ({}, {"mode": "avg"}, {"sampling_ratio": 0}, {"canonical_scale": np.float32(112.00001).item()})
    others = [replace(ROI_ALIGN, **change) for change in changes]
    assert len({plugin(operator).timing_cache_id for operator in [*others, NMS]}) == 5
    assert plugin(ROI_ALIGN).timing_cache_id == plugin(replace(ROI_ALIGN)).timing_cache_id


def test_a_missing_feature_map_is_refused():
    with pytest.raises(ModelError, match="the node has 5 inputs"):
        ROI_ALIGN.output_shapes(SHAPES[:-1])


@pytest.mark.parametrize(
    "shapes",
    [[(2, 9, 4), (2, 9), (2, 8)], [(2, 9, 5), (2, 9), (2, 9)], [(9, 4), (9,), (9,)], [(2, 9, 4), (2, 9)]],
)
def test_nms_shapes_that_do_not_belong_together_are_refused(shapes):
    with pytest.raises(ModelError, match="maskrt::GroupedNms: "):
        NMS.check(shapes)


@pytest.mark.parametrize(
    ("features", "supported"),
    [
        ([REAL] * 5, True),
        ([HALF_CHANNELS_LAST] * 5, True),
        ([HALF_LINEAR] * 5, False),  # eight times the loads: never left to a builder's timings
        ([HALF_CHANNELS_LAST, HALF_CHANNELS_LAST, REAL, HALF_CHANNELS_LAST, HALF_CHANNELS_LAST], False),
        ([HALF_CHANNELS_LAST, *[HALF_LINEAR] * 4], False),
        ([TensorKind("INT8", "LINEAR")] * 5, False),
        ([TensorKind("FLOAT", "HWC8")] * 5, False),
        ([TensorKind("HALF", "CHW2")] * 5, False),
    ],
)
def test_all_features_and_the_output_have_one_of_the_kernels_layouts(features, supported):
    kinds = [REAL, INTEGER, *features]
    assert all(ROI_ALIGN.supports(i, kinds) for i in range(len(kinds))) is supported


def test_regions_are_float32_whatever_the_features():
    assert not ROI_ALIGN.supports(0, [HALF_LINEAR])
    assert not ROI_ALIGN.supports(1, [REAL, REAL])


def test_shapes_of_the_outputs():
    assert ROI_ALIGN.output_shapes(SHAPES) == [[1000, 256, 7, 14]]
    assert NMS.output_shapes([(2, 9, 4), (2, 9), (2, 9)]) == [[2, 100], [2]]
    deformed = [(2, 8, 9, 12), (2, 18, 5, 6), (2, 9, 5, 6), (7, 8, 3, 3), (7,)]
    assert DEFORM.output_shapes(deformed) == [[2, 7, 5, 6]]


def test_importing_the_plugins_imports_neither_tensorrt_nor_cuda():
    blocked = "import sys; sys.modules.update(dict.fromkeys(['tensorrt', 'cuda', 'torch', 'onnx'])); "
    modules = "maskrt.export.plugins.build, maskrt.export.plugins.nvrtc, maskrt.export.plugins.python_plugin"
    subprocess.run([sys.executable, "-c", blocked + f"import {modules}"], check=True)


def test_a_machine_without_tensorrt_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingDependencyError, match=r"Python plugins need TensorRT.*pip install tensorrt"):
        python_plugin.register_python_plugins()


def test_tensorrt_8_is_told_to_build_the_library():
    class TensorRT86:
        __version__ = "8.6.0"

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tensorrt", TensorRT86())
        with pytest.raises(MaskrtError, match=r"TensorRT 8.6.0 has no Python plugins.*maskrt build-plugins"):
            python_plugin.register_python_plugins()


def test_a_machine_without_cuda_python_is_told(monkeypatch):
    for name in ("cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"cuda-python, which is not installed.*build-plugins"):
        nvrtc.bindings.__wrapped__()


def test_what_a_callback_raises_is_kept_until_it_is_asked_for():
    @python_plugin._remember
    def callback():
        raise ModelError("said inside TensorRT")

    with pytest.raises(ModelError):
        callback()
    assert "said inside TensorRT" in str(python_plugin.take_error())
    assert python_plugin.take_error() is None
