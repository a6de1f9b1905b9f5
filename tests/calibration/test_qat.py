"""Training for eight bits: it rounds where the file for TensorRT will, as the file will."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from benchmarks.samples import COCO_CLASSES, scene
from maskrt.calibration import calibrate
from maskrt.calibration.decide.candidate import build, put_contract, read_model
from maskrt.calibration.decide.gate import Verdict
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import TENSORRT
from maskrt.calibration.measure.learned import learned_ranges, tensor_at
from maskrt.calibration.rewrite.placement import place
from maskrt.calibration.rewrite.qdq import quantise_weight
from maskrt.export.stages import cut_into_parts
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.load import load_checkpoint
from maskrt.models.parts.fake_quantise import FakeQuantise, RoundedWeight
from maskrt.models.parts.layout import FPN
from maskrt.models.parts.quantisers import QUANTISERS, learned_scales, observe, plain_weights
from maskrt.models.rcnn.config import C4, MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.rcnn.qat import fake_quantise
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.runtime.contract import IMAGE_SIZES, IMAGES, LEARNED_SCALES, PREFIX
from maskrt.runtime.errors import CalibrationError, MaskrtError
from maskrt.training.config import QAT
from maskrt.training.loop.fit import parameter_groups

# Both round to the same steps; a value that lies between two may fall to either side with the order of a sum,
# and moves what follows by a step. Trained on synthetic images: C2 had 53 dB, and 30 dB against the float model.
SAME_ROUNDING_DB = 40.0


def quantiser(scale: float) -> FakeQuantise:
    made = FakeQuantise()
    made.log2_scale.data.fill_(math.log2(scale))
    return made


def test_values_become_whole_steps_of_the_scale_and_end_at_127() -> None:
    values = torch.tensor([0.0, 0.24, 0.26, 0.75, 1.25, -0.75, 100.0, -100.0])
    expected = torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0, -1.0, 63.5, -64.0])
    torch.testing.assert_close(quantiser(0.5)(values), expected, rtol=0, atol=0)


def test_gradients_pass_inside_the_range_and_move_the_scale_as_in_the_paper() -> None:
    """LSQ, eq. 3: ∂/∂s is round(v/s) − v/s inside, and the last step outside."""
    half = quantiser(0.5)
    values = torch.tensor([0.6, 100.0, -100.0], requires_grad=True)
    half(values).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1.0, 0.0, 0.0]
    of_scale = (1 - 0.6 / 0.5) + 127 - 128
    of_log2 = of_scale * 0.5 * math.log(2)  # d(2^u)/du
    assert half.log2_scale.grad is not None
    assert half.log2_scale.grad.item() == pytest.approx(of_log2, rel=1e-5)


def test_a_scale_begins_where_the_values_lie_and_zeros_say_nothing() -> None:
    made = FakeQuantise()
    made.observing = True
    values = torch.cat([torch.zeros(100_000), torch.full((1000,), 12.7)])
    assert made(values) is values
    assert made.scale == pytest.approx(0.1, rel=1e-5)


def test_a_scale_that_begins_far_too_wide_narrows_within_some_hundred_steps() -> None:
    """By the optimiser of --qat; at the rate of the weights it would stay where it began."""
    values = torch.randn(4096, generator=torch.Generator().manual_seed(0))
    wide = 32 / 127  # of normal values the largest of thousands is about 4
    for scale_lr, ends_below in ((QAT.scale_lr, wide / 3), (QAT.lr, math.inf)):
        made = quantiser(wide)
        model: Any = torch.nn.Module()
        model.add_module(QUANTISERS, torch.nn.ModuleDict({"point": made}))
        optimizer = torch.optim.AdamW(parameter_groups(model, dataclasses.replace(QAT, scale_lr=scale_lr)))
        for _ in range(400):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(made(values), values).backward()
            optimizer.step()
        assert made.scale < ends_below
    assert made.scale == pytest.approx(wide, rel=0.05), "the rate of the weights moves nothing"


def test_scales_have_a_group_of_their_own_and_every_parameter_is_in_one(trained: torch.nn.Module) -> None:
    weights, scales = parameter_groups(trained, QAT)  # type: ignore[arg-type]
    assert len(scales["params"]) == len(learned_scales(trained))
    assert (scales["lr"], scales["weight_decay"]) == (QAT.scale_lr, 0.0)
    assert len(weights["params"]) + len(scales["params"]) == len(list(trained.parameters()))


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_are_rounded_to_the_steps_that_are_written(axis: int) -> None:
    weight = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    weight.select(axis, 2).zero_()
    steps, scales = quantise_weight(weight.numpy(), axis)
    shape = [-1 if i == axis else 1 for i in range(4)]
    np.testing.assert_allclose(RoundedWeight(axis)(weight), steps * scales.reshape(shape), rtol=1e-6)


def test_rounding_before_a_batch_norm_is_folded_gives_the_steps_of_rounding_after() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 5, 3, 3, generator=generator)
    factors = torch.tensor([3.0, -0.2, 100.0, 1e-3, 1.0, -7.0]).view(-1, 1, 1, 1)
    rounded = RoundedWeight(0)
    torch.testing.assert_close(rounded(weight) * factors, rounded(weight * factors))


@pytest.fixture(scope="module")
def trained(random_checkpoint: Path) -> torch.nn.Module:
    """The random network rounding, with scales from one picture."""
    model = load_checkpoint(random_checkpoint).build()
    fake_quantise(model)
    pixels = torch.from_numpy(scene()).permute(2, 0, 1) / 255
    target = {"boxes": torch.tensor([[20.0, 20, 120, 120]]), "labels": torch.tensor([1])}
    target["masks"] = torch.ones((1, 256, 320), dtype=torch.uint8)
    observe(model, [([pixels], [target])])
    return model.eval()


def test_training_rounds_at_every_pair_of_the_file_once_and_nowhere_else(
    trained: torch.nn.Module, random_onnx: Path
) -> None:
    model, _ = read_model(random_onnx, "fp32")
    graph = Graph.of(model)
    placement = place(graph, Plan.default(graph, TENSORRT, "minmax").int8_layers, TENSORRT)
    scales = learned_scales(trained)
    points = [tensor_at(graph, point) for point in scales]
    groups = [placement.scale_groups[tensor] for tensor in points if tensor]
    assert len(groups) == len(scales), "every point is a pair"
    assert len(set(groups)) == len(groups), "one scale a pair"
    assert set().union(*groups) >= set(placement.scale_groups), "every pair has a point"
    assert all(math.isfinite(scale) and scale > 0 for scale in scales.values())


def test_the_network_in_training_computes_part_by_part_what_the_file_computes(
    trained: torch.nn.Module, random_onnx: Path, tmp_path: Path
) -> None:
    """Part by part, because a tie between two steps in one layer is a step more or less in all that follow."""
    model, contract = read_model(random_onnx, "fp32")
    graph = Graph.of(model)
    plan = Plan.default(graph, TENSORRT, "minmax")
    scales = learned_scales(trained)
    int8 = build(model, plan, learned_ranges(graph, scales))
    written = {t.name: numpy_helper.to_array(t) for t in int8.graph.initializer}
    for point, scale in scales.items():
        assert written[f"{tensor_at(graph, point)}/scale"] == np.float32(scale)

    onnx.save_model(int8, tmp_path / "int8.onnx")
    parts = cut_into_parts(tmp_path / "int8.onnx")
    canvas, sizes = scene()[None, :256, :320], np.array([[256, 320]], np.float32)
    _, seen = EagerSession(trained, contract, name="trained").infer_with_stages(canvas, sizes)  # type: ignore[arg-type]
    given = {PREFIX + stage: value for stage, value in seen.items()} | {IMAGES: canvas, IMAGE_SIZES: sizes}
    pyramid = ["P2", "P3", "P4", "P5"]
    for part, stages in (("backbone", ["C2"]), ("pyramid", pyramid), ("rpn_head", FPN.rpn_logits)):
        for i, (stage, ours) in enumerate(zip(stages, run_part(parts[part], given, stages), strict=True)):
            if part == "pyramid":  # in training a level leaves it rounded, in the file its readers round it
                scale = scales[f"rpn.head.conv.0.0.input.{i}"]
                ours = np.clip(np.rint(ours / scale), -128, 127) * scale
            theirs = seen[stage]
            error_db = 20 * np.log10(np.linalg.norm(theirs) / np.linalg.norm(theirs - ours))
            assert error_db > SAME_ROUNDING_DB, f"{stage}: {error_db:.1f} dB"


def run_part(part: bytes, given: dict[str, np.ndarray], stages: Sequence[str]) -> list[np.ndarray]:
    """As the file's text says, without ONNX Runtime's integer kernels, which add in another order."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(part, options, providers=["CPUExecutionProvider"])
    feeds = {value.name: given[value.name] for value in session.get_inputs()}
    return session.run([PREFIX + stage for stage in stages], feeds)


def test_a_point_that_the_graph_has_not_is_refused_by_name(random_onnx: Path) -> None:
    model, _ = read_model(random_onnx, "fp32")
    graph = Graph.of(model)
    with pytest.raises(
        CalibrationError, match=r"'backbone\.body\.layer9\.0\.conv1\.input\.0', and the model has no"
    ):
        learned_ranges(graph, {"backbone.body.layer9.0.conv1.input.0": 0.1})


def test_the_command_writes_learned_scales_in_place_of_measured_ones(
    trained: torch.nn.Module, random_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, contract = read_model(random_onnx, "fp32")
    scales = learned_scales(trained)
    scales["backbone.body.layer2.0.conv1.input.0"] /= (
        8  # measured, it would be refused as clipping the tensor
    )
    put_contract(model, contract.in_precision("fp32", {LEARNED_SCALES: scales}))
    onnx.save_model(model, tmp_path / "learned.onnx")
    monkeypatch.setattr(
        Verdict, "failures", []
    )  # random weights: tests/calibration/test_calibrate_command.py
    arguments = [str(tmp_path / "learned.onnx"), "--flavour", "tensorrt", "--data", "synthetic:2:7"]
    arguments.append("--anyway")  # random weights lose more than is allowed
    with pytest.raises(SystemExit) as ended:
        calibrate.main([*arguments, "-o", str(tmp_path / "int8.onnx")])
    assert not ended.value.code
    int8, contract = read_model(tmp_path / "int8.onnx", "int8")
    written = {t.name: numpy_helper.to_array(t) for t in int8.graph.initializer}
    graph = Graph.of(model)
    for point, scale in scales.items():
        assert written[f"{tensor_at(graph, point)}/scale"] == np.float32(scale)
    assert contract.precision.details[LEARNED_SCALES] == scales


def untrained(norm: str, **settings: Any) -> Checkpoint:
    config = MaskRcnnConfig(backbone="resnet18", norm=norm, num_classes=3, **settings)
    return Checkpoint(config, COCO_CLASSES[:2], build_mask_rcnn(config).state_dict())


def test_what_is_saved_is_an_ordinary_checkpoint_of_the_same_weights() -> None:
    """Batch norms that were trained come back under their own keys."""
    checkpoint = untrained("bn")
    model = checkpoint.build()
    fake_quantise(model)
    weights = plain_weights(model)
    saved = dataclasses.replace(
        checkpoint, state_dict=weights, provenance={LEARNED_SCALES: learned_scales(model)}
    )
    saved.build()
    counted = {key for key in weights if key.endswith("num_batches_tracked")}
    assert counted
    for key in weights.keys() - counted:
        assert torch.equal(weights[key], checkpoint.state_dict[key]), key
    assert saved.contract().precision.details == {LEARNED_SCALES: learned_scales(model)}


def test_a_backbone_without_residual_blocks_is_refused_by_name() -> None:
    model = untrained("frozen_bn").build()
    model.backbone.body["layer2"][1] = torch.nn.Identity()
    with pytest.raises(MaskrtError, match=r"'backbone\.body\.layer2\.1' is a Identity"):
        fake_quantise(model)


def test_a_model_without_masks_rounds_all_the_rest() -> None:
    with_masks, without = (untrained("frozen_bn", task=task).build() for task in ("instance", "detection"))
    fake_quantise(with_masks)
    fake_quantise(without)
    masks = learned_scales(with_masks).keys() - learned_scales(without).keys()
    assert {point.split(".")[1] for point in masks} == {"mask_head", "mask_predictor"}


@pytest.mark.parametrize("settings", [{"mask_head": "mlp"}, {"backbone": "resnet50", "neck": "c4"}], ids=str)
def test_a_network_whose_points_are_not_known_is_refused(settings: dict[str, str]) -> None:
    config = dataclasses.replace(C4 if "neck" in settings else MaskRcnnConfig(), **settings)  # type: ignore[arg-type]
    with pytest.raises(
        MaskrtError,
        match="only ResNets under a feature pyramid or one level of it are known, with convolutional",
    ):
        fake_quantise(build_mask_rcnn(config))
