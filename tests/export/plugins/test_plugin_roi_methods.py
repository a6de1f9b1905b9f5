"""RoIPool, RoIWarp and RoIAlign: PyTorch, ONNX Runtime and the kernels on a CPU pool the same."""

from __future__ import annotations

import functools
import math

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskrt.export.plugins.python_operators import RoiAlignOperator

pytest.importorskip("torchvision")

import torch
from onnx import TensorProto, helper

from maskrt.export.engine.prepare import prepare
from maskrt.models.operators import DOMAIN, OPSET, PLUGIN_ATTRIBUTES, VERSION, attach_bodies
from maskrt.models.operators.pyramid_roi_align_body import sizes_for_body
from maskrt.models.parts.roi_features import ROI_POOLS, Pooling
from maskrt.runtime.errors import ExportError
from tests.export.plugins.torchvision_reference import BATCH, ROIS, STRIDES, random_features

# Sums of four samples in another order: a few float32 roundings of values around 1.
TOLERANCE = 1e-5
SIZE = (3, 4)
SAMPLES = 3  # no power of two: positions are rounded


class ThreeFaces:
    """One way of pooling some features, as PyTorch's definition, on ONNX Runtime and by the kernels."""

    def __init__(
        self,
        pooling: Pooling,
        strides: tuple[int, ...],
        features: list[np.ndarray],
        size: tuple[int, int] = SIZE,
    ) -> None:
        self.features = features
        self.operator = RoiAlignOperator(
            *size, strides, pooling.sampling_ratio, int(pooling.aligned), pooling.method, pooling.mode
        )
        # As maskrt.models.operators.pyramid_roi_align writes the node; that it does is tested in test_operators.py.
        attributes = {**vars(self.operator), **sizes_for_body(pooling, *size), **PLUGIN_ATTRIBUTES}
        names = [f"feature_{i}" for i in range(len(features))]
        node = helper.make_node(
            "PyramidRoiAlign", ["rois", "image", *names], ["pooled"], domain=DOMAIN, **attributes
        )
        maps = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, f.shape)
            for name, f in zip(names, features, strict=True)
        ]
        rois = helper.make_tensor_value_info("rois", TensorProto.FLOAT, ("count", 4))
        image = helper.make_tensor_value_info("image", TensorProto.INT32, ("count",))
        pooled = helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ("count", "channels", *size))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)]
        graph = helper.make_graph([node], "pool", [rois, image, *maps], [pooled])
        self.model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        attach_bodies(self.model)
        onnx.checker.check_model(self.model, full_check=True)
        self.session = onnxruntime.InferenceSession(self.model.SerializeToString())

    def pool(self, host, rois: np.ndarray, image: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """(R, C, *size) by the name of the face. rois: (R, 4); image: (R,), zeros if not given."""
        rois = np.asarray(rois, np.float32).reshape(-1, 4)
        image = np.zeros(len(rois), np.int32) if image is None else image.astype(np.int32)
        names = [value.name for value in self.session.get_inputs()]
        (body,) = self.session.run(None, dict(zip(names, (rois, image, *self.features), strict=True)))
        how = self.operator
        definition = torch.ops.maskrt.pyramid_roi_align(
            torch.from_numpy(rois), torch.from_numpy(image), [torch.from_numpy(f) for f in self.features],
            how.output_height, how.output_width, how.sampling_ratio, bool(how.aligned), how.canonical_scale,
            how.canonical_level, list(how.strides), how.method, how.mode,
        ).numpy()  # fmt: skip
        kernels = host.roi_align(self.operator, self.features, rois, image)
        return {"PyTorch": definition, "ONNX Runtime": body, "kernels": kernels}


def assert_alike(pooled: dict[str, np.ndarray]) -> None:
    for face in ("ONNX Runtime", "kernels"):
        np.testing.assert_allclose(pooled[face], pooled["PyTorch"], atol=TOLERANCE, rtol=0, err_msg=face)


def assert_all(pooled: dict[str, np.ndarray], expected: list, tolerance: float = 0.0) -> None:
    for face, values in pooled.items():
        np.testing.assert_allclose(
            values, np.array(expected, np.float32), atol=tolerance, rtol=0, err_msg=face
        )


@functools.cache
def faces_of(roi_pool: str, aligned: bool, strides: tuple[int, ...]) -> ThreeFaces:
    pooling = Pooling.named(roi_pool, sampling_ratio=SAMPLES, aligned=aligned)
    return ThreeFaces(pooling, strides, random_features(2, images=2, strides=strides))


EVERY_WAY = [(roi_pool, aligned) for roi_pool in ROI_POOLS[:-1] for aligned in (False, True)] + [
    ("pool_max", False)
]


@pytest.mark.parametrize(("roi_pool", "aligned"), EVERY_WAY)
def test_the_three_faces_pool_ordinary_and_nasty_regions_alike(host, roi_pool, aligned):
    pooled = faces_of(roi_pool, aligned, STRIDES).pool(host, ROIS, BATCH)
    assert_alike(pooled)
    assert np.abs(pooled["PyTorch"]).max() > 1


@pytest.mark.parametrize("roi_pool", ["align_avg", "warp_max", "pool_max"])
def test_a_single_level_serves_nasty_regions_too(host, roi_pool):
    pooled = faces_of(roi_pool, False, (16,)).pool(host, ROIS, BATCH)
    assert_alike(pooled)
    inverted = np.array([[90, 20, 40, 70]])
    assert np.abs(faces_of(roi_pool, False, (16,)).pool(host, inverted)["PyTorch"]).max() > 0
    assert np.abs(faces_of(roi_pool, False, STRIDES).pool(host, inverted)["PyTorch"]).max() == 0


coordinate = st.floats(-400, 700, width=32) | st.integers(-400, 700).map(float)


@settings(max_examples=40, database=None)
@given(boxes=st.lists(st.tuples(*[coordinate] * 4), max_size=6), way=st.sampled_from(EVERY_WAY))
def test_the_three_faces_pool_any_regions_alike(host, boxes, way):
    assert_alike(faces_of(*way, STRIDES).pool(host, boxes))


def one_map(values: list[list[float]]) -> list[np.ndarray]:
    return [np.array(values, np.float32)[None, None]]


THIRD = 1e-6  # thirds are no float32 numbers


@pytest.mark.parametrize(("roi_pool", "aligned"), [("align_avg", False), ("align_max", True)])
def test_an_image_of_two_by_two_interpolated_to_four_by_four(host, roi_pool, aligned):
    """Samples at 0, 1/3, 2/3 and 1 cells along both axes, each the only one of its bin. Between the corners
    6 10 / 9 12 the value at (y, x) is 6 + 4x + 3y - xy: the first row is 6, 7.33, 8.67, 10."""
    thirds = np.arange(4) / 3
    expected = [[6 + 4 * x + 3 * y - x * y for x in thirds] for y in thirds]
    np.testing.assert_allclose(expected[0], [6, 7.33, 8.67, 10], atol=0.005)
    # A bin of 1/3 has its sample in the middle, so the first begins at -1/6; with the half pixel at 1/3.
    start = 1 / 3 if aligned else -1 / 6
    faces = ThreeFaces(
        Pooling.named(roi_pool, sampling_ratio=1, aligned=aligned), (1,), one_map([[6, 10], [9, 12]]), (4, 4)
    )
    assert_all(faces.pool(host, [start, start, start + 4 / 3, start + 4 / 3]), [[expected]], THIRD)


def test_roi_pool_of_three_by_three_cells_to_two_by_two(host):
    """A bin is 1.5 cells, so its borders fall to floor(0), ceil(1.5) = 2 and floor(1.5) = 1, 3: cells 0-1 and 1-2
    of either axis, the middle ones in both. Their maxima: of .5 .1 .3 .6, of .1 .9 .6 .2, of .3 .6 .1 .7 and of
    .6 .2 .7 .9."""
    values = [[0.5, 0.1, 0.9], [0.3, 0.6, 0.2], [0.1, 0.7, 0.9]]
    faces = ThreeFaces(
        Pooling.named("pool_max", sampling_ratio=0, aligned=False), (1,), one_map(values), (2, 2)
    )
    assert_all(faces.pool(host, [0, 0, 2, 2]), [[[[0.6, 0.9], [0.7, 0.9]]]])


ENDS_PX = (
    656,
    660,
    665,
    672,
    687,
)  # all of them round to 21 cells of 32 px: from 20.5 * 32 on, below 21.5 * 32


@pytest.mark.parametrize("roi_pool", ROI_POOLS)
def test_what_a_box_of_665_pixels_loses_at_a_stride_of_32(host, roi_pool):
    """665 / 32 is 20.78 cells. Cut off to 20, they are 640 px: 25 of the 665 are lost, or 24.96 if one goes on
    with 20.78. Rounded to the nearest, as RoIPool's authors have it, they are 21 cells or 672 px, 7 too many.

    On a map whose cells hold their own position in pixels the mean over a box is its middle: 332.5 for 665 px,
    336 for 672. So an average tells what was quantised away, and nothing that quantises tells 656 from 687."""
    assert 665 - math.floor(665 / 32) * 32 == 25
    assert round((round(665 / 32, 2) - 20) * 32, 2) == 24.96
    cells = np.broadcast_to(np.arange(25, dtype=np.float32) * 32, (1, 1, 25, 25)).copy()
    pooling = Pooling.named(roi_pool, sampling_ratio=2, aligned=False)
    pooled = ThreeFaces(pooling, (32,), [cells], (7, 7)).pool(host, [[0, 0, end, end] for end in ENDS_PX])
    for values in pooled.values():
        alike = [np.array_equal(values[0], other) for other in values[1:]]
        assert alike == [not roi_pool.startswith(("align", "crop"))] * 4
    if roi_pool == "warp_avg":
        assert_all({face: values.mean((1, 2, 3)) for face, values in pooled.items()}, [336] * 5, 1e-3)
    if roi_pool == "align_avg":
        middles = [end / 2 for end in ENDS_PX]
        assert_all({face: values.mean((1, 2, 3)) for face, values in pooled.items()}, middles, 1e-3)


def test_onnxs_own_maximum_is_another(host):
    """One sample in the middle of four cells 1 2 / 3 4: interpolated 2.5, and no other to be larger. RoiAlign with
    mode = "max" takes, in ONNX Runtime and in TensorRT's built-in layer, the largest of the four weighted cells:
    4 * 0.25 = 1."""
    values, roi = one_map([[1, 2], [3, 4]]), np.array([[0, 0, 1, 1]], np.float32)
    faces = ThreeFaces(Pooling.named("align_max", sampling_ratio=1, aligned=False), (1,), values, (1, 1))
    assert_all(faces.pool(host, roi), [[[[2.5]]]])
    builtin = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": {OPSET}]> g (float[1,1,2,2] map, float[1,4] roi, int64[1] image)
        => (float[1,1,1,1] pooled) {{ pooled = RoiAlign <
            output_height = 1, output_width = 1, sampling_ratio = 1, mode = "max", spatial_scale = 1.0,
            coordinate_transformation_mode = "output_half_pixel"
        > (map, roi, image) }}"""
    )
    session = onnxruntime.InferenceSession(builtin.SerializeToString())
    (theirs,) = session.run(None, {"map": values[0], "roi": roi, "image": np.zeros(1, np.int64)})
    assert theirs.item() == 1.0


@pytest.mark.parametrize("roi_pool", ROI_POOLS)
def test_tensorrt_takes_the_plugin_for_every_way_and_the_body_for_all_but_roi_pool(roi_pool):
    model = faces_of(roi_pool, False, STRIDES).model
    assert prepare(model, (10, 3), "plugin", "model.onnx").graph.node
    if roi_pool != "pool_max":
        assert prepare(model, (10, 3), "body", "model.onnx").graph.node
    else:
        with pytest.raises(ExportError, match=r"model.onnx: TensorRT 10.3 does not take it: .*MaxRoiPool"):
            prepare(model, (10, 3), "body", "model.onnx")
