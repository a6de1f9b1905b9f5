"""The stages that an exported file names, and what makes outputs of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.samples import scene
from maskrt.export.stages import HideStages, ShowStages, read_with_stages
from maskrt.models.parts.layout import FPN
from maskrt.models.rcnn.layout import MASK_FEATURES, MASK_LOGITS, PER_PROPOSAL, PROPOSAL_COUNTS, PROPOSALS
from maskrt.runtime.backends.ort_session import OrtSession
from maskrt.runtime.contract import PREFIX
from maskrt.runtime.errors import ModelError
from maskrt.runtime.preprocess import preprocess
from maskrt.runtime.tasks.instances.options import DETECTED, MASKS

INSTANCE_STAGES = (*FPN.maps, PROPOSALS, PROPOSAL_COUNTS, *PER_PROPOSAL, MASK_FEATURES, MASK_LOGITS)


def test_every_export_names_its_stages_and_gives_none_of_them(random_onnx: Path) -> None:
    graph = onnx.load(random_onnx, load_external_data=False).graph

    assert tuple(value.name for value in graph.output) == (*DETECTED, MASKS)
    made = {name for node in graph.node for name in node.output}
    assert {PREFIX + stage for stage in INSTANCE_STAGES} <= made


def test_what_simplifies_a_graph_finds_no_stage_to_cut_off(random_onnx: Path) -> None:
    """onnxsim and onnxslim take out what leads to no output: with a stage they took, nothing could be looked into."""
    graph = onnx.load(random_onnx, load_external_data=False).graph

    read = {name for node in graph.node for name in node.input}

    assert {PREFIX + stage for stage in INSTANCE_STAGES} <= read


def test_stages_become_outputs_and_cease_to_be(random_onnx: Path) -> None:
    model = onnx.load(random_onnx)
    before = model.SerializeToString(deterministic=True)

    ShowStages("model.onnx")(model)
    shown = [value.name for value in model.graph.output]
    ShowStages("model.onnx")(model)

    assert shown == [*DETECTED, MASKS, *(PREFIX + stage for stage in INSTANCE_STAGES)]
    assert [value.name for value in model.graph.output] == shown, "done once, it is done"
    HideStages()(model)
    assert [value.name for value in model.graph.output] == [*DETECTED, MASKS]
    assert len(model.SerializeToString(deterministic=True)) == len(before)


def test_a_file_with_stages_finds_what_it_found_without(random_onnx: Path) -> None:
    plain, looked_into = OrtSession(random_onnx), OrtSession(random_onnx, stages=True)
    batch = preprocess([scene(1)], plain.contract.canvas)

    outputs, stages = looked_into.infer_with_stages(batch.images, batch.image_sizes)

    assert set(stages) == set(INSTANCE_STAGES)
    expected = plain.infer(batch.images, batch.image_sizes)
    assert outputs["num_detections"] == expected["num_detections"] >= 20
    np.testing.assert_allclose(
        outputs["boxes"], expected["boxes"], atol=0.01
    )  # other fusions, other rounding
    assert not plain.has_stages
    with pytest.raises(ModelError, match="opened without its stages"):
        plain.infer_with_stages(batch.images, batch.image_sizes)


def test_a_file_that_names_no_stages_is_told(random_onnx: Path, tmp_path: Path) -> None:
    model = onnx.load(random_onnx)
    for value in model.graph.value_info:
        value.name = value.name.replace(PREFIX, "")
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name.replace(PREFIX, "") for name in names]
    onnx.save_model(model, tmp_path / "old.onnx")

    with pytest.raises(ModelError, match=r"old\.onnx: its graph has no tensor named 'stage\.canvas'"):
        read_with_stages(tmp_path / "old.onnx")
