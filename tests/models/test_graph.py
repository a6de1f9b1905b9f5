"""The inference graph in PyTorch finds exactly what torchvision's eager model finds on the same canvas."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.samples import confident_checkpoint, scene
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.parts.boxes import decode
from maskrt.models.parts.canvas import NormaliseCanvas
from maskrt.models.parts.fold import fold_batch_norm
from maskrt.models.parts.tensorrt_limits import TOPK_LIMIT
from maskrt.models.rcnn.config import C4, C5, MOBILENET, V2, MaskRcnnConfig
from maskrt.models.rcnn.graph.proposals import top_rows
from maskrt.models.rcnn.layout import PROPOSAL_COUNTS
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.models.rcnn.reference.network import EagerSession
from maskrt.runtime.backends.open import Outputs
from maskrt.runtime.contract import Canvas
from maskrt.runtime.parity.report import Report
from maskrt.runtime.preprocess import Batch, preprocess
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.match import match
from maskrt.runtime.tasks.instances.compare.paste import paste_alike
from maskrt.runtime.tasks.instances.compare.tolerances import Tolerance

pytestmark = pytest.mark.usefixtures("narrow_resnet18")

# In float64 the two differ by their order of operations alone, 1e-16 relative; what is compared has been
# rounded to float32 after it, so a difference is at most the last bit of a coordinate below 512.
EXACT = Tolerance(score=1e-7, box_px=3.1e-5, mask_iou=1.0)
# Colours that float32 holds exactly, as it holds those of the graph.
EXACT_COLOURS: dict[str, Any] = {"mean": (0.5, 0.4375, 0.375), "std": (0.25, 0.25, 0.25)}
QUICK: dict[str, Any] = {"rpn_post_nms_test": 70, "max_detections": 30}  # float64 is slow
# What most of the time goes into; the numbers of channels change no operation.
NARROW: dict[str, Any] = {"fpn_channels": 32, "mask_convs": (32,) * 4}
# Of the canvas, as small for the weights' making as for the comparison.
SIDES: dict[str, Any] = {"min_size_px": 200, "max_size_px": 300}


@pytest.fixture(scope="module")
def checkpoint(narrow_resnet18: None) -> Checkpoint:
    return confident_checkpoint("resnet18", **QUICK, **NARROW, **EXACT_COLOURS)


def assert_alike(
    checkpoint: Checkpoint,
    images: list[np.ndarray],
    detections: str,
    least: int,
    canvas: Canvas | None = None,
) -> None:
    """The graph in PyTorch against eager torchvision, both in float64, on one canvas for all images.

    Without float32's rounding nothing is left of a difference, so nothing can hide behind a tolerance.
    """
    contract = checkpoint.contract()
    small = dataclasses.replace(contract.canvas, **SIDES)
    batch = preprocess(images, canvas or small)
    sizes = tuple((int(h), int(w)) for h, w in batch.image_sizes)
    on_canvas = Batch(batch.images, batch.image_sizes, sizes)
    model = checkpoint.build().double()
    graph = checkpoint.family.graph(model, detections=detections).double().eval()
    with torch.no_grad():
        tensors = graph(torch.from_numpy(batch.images), torch.from_numpy(batch.image_sizes).double())[:5]
    arrays = ((t.float() if t.is_floating_point() else t).numpy() for t in tensors)
    actual = Outputs(zip(contract.output_names, arrays, strict=True))
    assert actual["boxes"].shape == (len(images), contract.options.max_detections, 4)
    expected = EagerSession(model, contract, name="eager").infer(batch.images, batch.image_sizes)
    report = Report(InstancesComparison(EXACT))
    results = paste_alike(expected, actual, on_canvas, contract, within_px=EXACT.box_px)
    for theirs, ours in zip(*results, strict=True):
        assert len(theirs) >= least, "the comparison needs detections to compare"
        report.results.add_matching("image", match(theirs, ours), theirs.scores, ours.scores)
    assert report.failures == []


@pytest.mark.parametrize("detections", ["fixed", "dynamic"])
def test_graph_finds_what_torchvision_finds(checkpoint: Checkpoint, detections: str) -> None:
    assert_alike(checkpoint, [scene(1), scene(2).transpose(1, 0, 2)], detections, least=20)


def test_an_image_that_fills_a_quarter_of_its_canvas(checkpoint: Checkpoint) -> None:
    """torchvision would take the strides from the valid area, and pool this one from the wrong levels."""
    contract = checkpoint.contract(height_px=512, width_px=640)
    small = dataclasses.replace(contract.canvas, min_size_px=256, max_size_px=320)
    batch = preprocess([scene(1)], small)
    assert (batch.images.shape[1:3], batch.image_sizes.tolist()) == ((512, 640), [[256, 320]])
    model = checkpoint.build()
    outputs = EagerSession(model, contract, name="eager").infer(batch.images, batch.image_sizes)
    assert outputs["num_detections"][0] > 20
    assert model.roi_heads.box_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    assert_alike(checkpoint, [scene(1)], "fixed", least=20, canvas=small)


def test_graph_of_the_second_version_finds_what_torchvision_finds() -> None:
    config = {f.name: getattr(V2, f.name) for f in dataclasses.fields(V2) if f.name != "backbone"}
    config |= SIDES | QUICK | NARROW | EXACT_COLOURS
    assert_alike(confident_checkpoint("resnet18", **config), [scene(3)], "fixed", least=20)


def test_a_graph_of_the_papers_ablations_finds_what_its_model_finds() -> None:
    pooling = {"roi_pool": "warp_max", "roi_aligned": True}
    masks = {"num_classes": 6, "mask_head": "mlp", "mask_activation": "softmax"}
    checkpoint = confident_checkpoint(
        "resnet18", **pooling, **masks, fpn_channels=32, **SIDES, **QUICK, **EXACT_COLOURS
    )
    assert_alike(checkpoint, [scene(3)], "dynamic", least=20)


def test_graph_with_exact_anchors_finds_what_torchvision_finds_with_them() -> None:
    """On a canvas of 160 px P6 is three positions wide, and neither 160 / 64 nor a whole stride apart."""
    checkpoint = confident_checkpoint(
        "resnet18", exact_anchors=True, **SIDES, **QUICK, **NARROW, **EXACT_COLOURS
    )
    canvas = checkpoint.contract(height_px=160, width_px=224).canvas
    assert_alike(checkpoint, [scene(1)], "fixed", least=20, canvas=canvas)


#: Anchors as small as the scenes' objects.
SMALL_C5 = dataclasses.replace(C5, anchor_sizes_px=((32, 64, 128),), max_detections_per_class=9)


@pytest.mark.parametrize(
    "settings",
    [C4, MOBILENET, SMALL_C5, dataclasses.replace(SMALL_C5, scale_by_padded=True)],
    ids=["C4", "MobileNetV3", "C5", "C5 by the padded size"],
)
def test_graph_of_another_backbone_finds_what_torchvision_finds(settings: MaskRcnnConfig) -> None:
    config = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    backbone = config.pop("backbone").replace("resnet50", "resnet18")
    # On the small canvas of this test: fewer kept than there are anchors.
    config |= SIDES | QUICK | NARROW | EXACT_COLOURS | {"rpn_pre_nms_test": 1000, "rpn_post_nms_test": 30}
    assert_alike(confident_checkpoint(backbone, **config), [scene(1)], "fixed", least=20)


def test_unlikely_proposals_are_dropped_where_the_model_drops_them(checkpoint: Checkpoint) -> None:
    """As torchvision's MobileNet detectors do. Without, there are as many as ever, so it is seen to matter."""
    strict = dataclasses.replace(checkpoint.config, rpn_score_threshold=0.998)
    canvas = dataclasses.replace(checkpoint.contract().canvas, min_size_px=200, max_size_px=300)
    batch = preprocess([scene(1)], canvas)
    counts = []
    for config in (checkpoint.config, strict):
        model = dataclasses.replace(checkpoint, config=config)
        session = EagerSession(model.build(), model.contract(), name="eager")
        _, stages = session.infer_with_stages(batch.images, batch.image_sizes)
        counts.append(int(stages[PROPOSAL_COUNTS][0]))
    assert counts[1] < counts[0] == QUICK["rpn_post_nms_test"]
    assert_alike(model, [scene(1)], "fixed", least=20)


def test_more_rows_than_tensorrts_topk_takes_are_the_largest_still() -> None:
    values = torch.randn(2, 9000, generator=torch.Generator().manual_seed(0))
    best, rows = top_rows(values, 2 * TOPK_LIMIT + 7)
    expected, positions = torch.topk(values, 2 * TOPK_LIMIT + 7)
    assert torch.equal(best, expected)
    assert torch.equal(rows, positions)


def test_a_model_that_keeps_fewer_proposals_than_detections_pads_its_rows() -> None:
    few = {"num_classes": 2, "rpn_post_nms_test": 20}
    checkpoint = confident_checkpoint("resnet18", **few, **SIDES, **NARROW, **EXACT_COLOURS)
    assert_alike(checkpoint, [scene(1)], "fixed", least=1)


@pytest.mark.parametrize("norm", ["bn", "frozen_bn"])
def test_folding_batch_norm_changes_no_feature(norm: str) -> None:
    model = confident_checkpoint("resnet18", norm=norm, fpn_norm=True, **SIDES, **NARROW).build()
    folded = fold_batch_norm(model)
    norms = [m for m in folded.backbone.modules() if "BatchNorm" in type(m).__name__]
    assert not norms, f"left unfolded: {norms}"
    pixels = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for before, after in zip(
            model.backbone(pixels).values(), folded.backbone(pixels).values(), strict=True
        ):
            scale = before.abs().max()
            torch.testing.assert_close(after / scale, before / scale, atol=1e-5, rtol=0)


def test_folding_leaves_group_norm_and_the_original_alone() -> None:
    model = build_mask_rcnn(confident_checkpoint("resnet18", norm="gn", **SIDES, **NARROW).config)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    folded = fold_batch_norm(model)
    assert any(isinstance(m, nn.GroupNorm) for m in folded.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_normalisation_zeroes_the_padding_whatever_its_pixels() -> None:
    normalise = NormaliseCanvas((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    images = torch.full((2, 8, 8, 3), 200, dtype=torch.uint8)
    out = normalise(images, torch.tensor([[8.0, 8.0], [5.0, 6.0]]))
    expected = (torch.tensor([200 / 255] * 3) - torch.tensor([0.5, 0.4, 0.3])) / 0.2
    torch.testing.assert_close(out[0], expected[:, None, None].expand(3, 8, 8))
    assert not out[1, :, 5:].any()
    assert not out[1, :, :, 6:].any()
    assert (out[1, :, :5, :6] != 0).all()


def test_decoding_a_box_by_hand() -> None:
    # A 10×20 box at (0, 0), centre (5, 10): dx of 1 over its weight of 10 is a tenth of the width, 1 px;
    # dh of 5·ln 2 over its weight of 5 doubles the height.
    deltas = torch.tensor([1.0, 0.0, 0.0, 5 * np.log(2.0)], dtype=torch.float32)
    box: Tensor = decode(deltas, torch.tensor([0.0, 0.0, 10.0, 20.0]), (10.0, 10.0, 5.0, 5.0))
    torch.testing.assert_close(box, torch.tensor([1.0, -10.0, 11.0, 30.0]))
