"""Files after onnxsim and onnxslim, which many put before TensorRT: the same model, stages included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from benchmarks.samples import scene
from maskrt.models.operators.grouped_nms import grouped_nms_body
from maskrt.models.operators.pyramid_roi_align_body import pyramid_roi_align_body
from maskrt.models.parts.roi_features import Pooling
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.preprocess import preprocess
from tests.models.test_operators import (
    NmsGraph,
    PoolGraph,
    as_model,
    boxes_and_scores,
    features,
    random_rois,
    run,
)

Simplify = Callable[[onnx.ModelProto], onnx.ModelProto]
BODIES = {
    "nms": grouped_nms_body(),
    **{
        f"{method}, {mode}, {'half' if half else 'float'}": pyramid_roi_align_body(
            4, Pooling(method, mode, 2, False), half
        )
        for method, mode in (("align", "avg"), ("warp", "max"), ("crop", "avg"), ("pool", "max"))
        for half in (False, True)
    },
}


def by_onnxsim(model: onnx.ModelProto) -> onnx.ModelProto:
    simplified, is_same = pytest.importorskip("onnxsim", reason="onnxsim is not installed here").simplify(
        model
    )
    assert is_same
    return simplified


def by_onnxslim(model: onnx.ModelProto) -> onnx.ModelProto:
    return pytest.importorskip("onnxslim", reason="onnxslim is not installed here").slim(model)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_number_in_a_body_has_a_type_of_its_own(body: onnx.FunctionProto) -> None:
    """As an attribute it has that of a tool's language: onnxslim made doubles of them."""
    for node in body.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            assert attribute.ref_attr_name or attribute.name not in ("value_float", "value_floats"), (
                node.output
            )


@pytest.mark.parametrize("simplify", [by_onnxsim, by_onnxslim])
@pytest.mark.parametrize(
    ("graph", "inputs"),
    [
        (NmsGraph(), boxes_and_scores(1)),
        (PoolGraph(False), (random_rois(20, 1), torch.arange(20, dtype=torch.int32) % 2, *features())),
    ],
    ids=["GroupedNms", "PyramidRoiAlign"],
)
def test_an_operator_is_the_same_after_it(
    graph: nn.Module, inputs: tuple[Tensor, ...], simplify: Simplify
) -> None:
    model = as_model(graph, inputs)
    before = run(onnxruntime.InferenceSession(model.SerializeToString()), inputs)

    after = run(onnxruntime.InferenceSession(simplify(model).SerializeToString()), inputs)

    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.full
@pytest.mark.parametrize("simplify", [by_onnxsim, by_onnxslim])
def test_a_model_is_the_same_after_it_and_can_be_looked_into(
    simplify: Simplify, random_onnx: Path, tmp_path: Path
) -> None:
    path = tmp_path / "simplified.onnx"
    onnx.save_model(simplify(onnx.load(random_onnx)), path)
    before, after = OrtSession(random_onnx, stages=True), OrtSession(path, stages=True)
    batch = preprocess([scene(1)], before.contract.canvas)

    (expected, stages), (found, own) = (
        session.infer_with_stages(batch.images, batch.image_sizes) for session in (before, after)
    )

    assert after.contract == before.contract
    assert set(own) == set(stages)
    assert found["num_detections"] == expected["num_detections"] >= 20
    np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=0.01)  # other fusions, other rounding
    np.testing.assert_allclose(found["masks"], expected["masks"], atol=1e-3)
