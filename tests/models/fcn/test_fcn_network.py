"""FCN's parts: what enlarges scores, stages of training, losses, and the exported graph beside the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.fcn.config import NETWORKS, FcnConfig
from maskrt.models.fcn.dilated.config import DilatedConfig
from maskrt.models.fcn.dilated.network import Dilated
from maskrt.models.fcn.graph import SemanticGraph
from maskrt.models.fcn.network import Fcn
from maskrt.models.fcn.random_weights import randomise
from maskrt.models.fcn.reference import margins
from maskrt.models.fcn.upsampling import Resized, bilinear_deconvolution, class_by_class
from maskrt.models.transfer import take_over
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import CheckpointError
from maskrt.training.data.scenes import draw_scene
from maskrt.training.options import Chosen
from maskrt.training.prepare import configurations

CLASSES = tuple(Category(k, name) for k, name in enumerate(("ground", "disc", "square")))
TINY: dict[str, Any] = {"num_classes": len(CLASSES), "width": 0.0625, "fc_channels": 8}


@pytest.fixture(scope="module")
def picture() -> Any:
    import numpy as np

    return draw_scene(np.random.default_rng(5), (96, 128))[0]


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_a_deconvolution_is_a_resize_but_within_a_cell_of_the_border(factor: int) -> None:
    scores = torch.rand((1, 3, 5, 6), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wide = bilinear_deconvolution(3, factor)(scores)
    cut = factor // 2
    deconvolved, resized = wide[:, :, cut:-cut, cut:-cut], Resized(factor)(scores)
    assert deconvolved.shape == resized.shape
    difference = (deconvolved - resized).abs()
    assert float(difference[:, :, factor:-factor, factor:-factor].max()) <= 5e-7
    assert float(difference.max()) > 0.1, "outside, one has zeros and the other the last cell again"


def test_groups_of_one_class_add_the_same_numbers() -> None:
    scores = torch.rand((2, 4, 5, 6), generator=torch.Generator().manual_seed(0))
    model = torch.nn.Sequential(bilinear_deconvolution(4, 8))
    grouped = class_by_class(model)
    assert grouped[0].groups == 4
    with torch.no_grad():
        torch.testing.assert_close(grouped(scores), model(scores), rtol=0, atol=5e-7)


def test_weights_between_classes_stay() -> None:
    model = torch.nn.Sequential(bilinear_deconvolution(4, 8))
    model[0].weight.data[0, 1] = 0.5
    assert class_by_class(model)[0].groups == 1


NETWORKS_IN_BRIEF = [
    FcnConfig(**TINY, network="fcn8s", norm="bn"),
    FcnConfig(**TINY, network="fcn16s", skip_scales=(0.01, 0.0001)),
    FcnConfig(**TINY, network="fcn8s", geometry="caffe"),
    FcnConfig(num_classes=3, network="fcn32s", backbone="resnet18", norm="bn"),
    DilatedConfig(num_classes=3, network="lraspp", backbone="mobilenet_v3_large"),
    DilatedConfig(num_classes=3, network="deeplabv3", backbone="mobilenet_v3_large", auxiliary=True),
]


@pytest.mark.parametrize("config", NETWORKS_IN_BRIEF, ids=lambda config: config.title)
def test_the_graph_finds_what_the_network_does_and_gives_what_it_promises(config: Any, picture: Any) -> None:
    torch.manual_seed(0)
    model: Any = randomise(Fcn(config) if isinstance(config, FcnConfig) else Dilated(config), picture)
    side = config.stride if config.stride > 1 else 1
    height, width = 96 - 96 % side, (128 if side > 1 else 101)
    images = torch.from_numpy(picture)[None, :height, :width]
    sizes = torch.tensor([[height, width]], dtype=torch.float32)
    graph = SemanticGraph(model).eval()

    with torch.no_grad():
        labels, *taps = graph(images, sizes)
        mean, std = (torch.tensor(c)[:, None, None] for c in (config.mean, config.std))
        logits = model.whole((images.permute(0, 3, 1, 2) / 255 - mean) / std)[1]

    assert (labels.dtype, labels.shape) == (torch.uint8, (1, height, width))
    assert len(taps) == len(config.inside.names)
    sure = margins(logits[0]) > 1e-3
    assert bool((labels[0] == logits[0].argmax(dim=0))[sure].all())
    assert len(labels.unique()) > 1
    units = graph.units()
    assert units.keys() == {u for n, _ in graph.named_parameters() if (u := config.layers.unit_of(n))}
    assert not any(name.startswith("aux_classifier") for name, _ in graph.named_parameters())


@pytest.mark.parametrize(("coarse", "fine"), [("fcn32s", "fcn16s"), ("fcn16s", "fcn8s")])
@pytest.mark.parametrize("geometry", ["same", "caffe"])
def test_a_finer_network_begins_where_the_coarser_ended(
    coarse: str, fine: str, geometry: str, picture: Any
) -> None:
    """What it adds gives zero until it has learned."""
    torch.manual_seed(0)
    start = FcnConfig(**TINY, network=coarse, geometry=geometry)
    checkpoint = Checkpoint(start, CLASSES, randomise(Fcn(start), picture).state_dict())
    finer = Fcn(FcnConfig(**TINY, network=fine, geometry=geometry)).eval()

    left_out = take_over(finer, checkpoint, CLASSES)

    added = f"score_pool{3 if fine == 'fcn8s' else 4}"
    assert {name.partition(".")[0] for name in left_out} >= {added}
    canvas = torch.rand((1, 3, 64, 96), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = (
            model.maps(canvas)[f"score{NETWORKS[coarse][-1]}"] for model in (checkpoint.build(), finer)
        )
    torch.testing.assert_close(after, before)
    assert not getattr(finer, added).weight.any()


def test_the_preset_says_what_a_run_from_a_checkpoint_becomes(tmp_path: Path) -> None:
    start = FcnConfig(**TINY, network="fcn32s")
    checkpoint = Checkpoint(start, CLASSES, Fcn(start).state_dict())

    of_preset = configurations("fcn16s", checkpoint, None, Chosen(), qat=False)[0]
    without = configurations("small", checkpoint, None, Chosen(), qat=False)[0]

    assert of_preset == FcnConfig(**TINY, network="fcn16s")
    assert without == start


def test_ignored_pixels_and_padding_teach_nothing() -> None:
    torch.manual_seed(0)
    model = Fcn(FcnConfig(**TINY, network="fcn8s", norm="bn")).train()
    image = torch.rand(3, 40, 50)
    nothing = torch.full((40, 50), 255, dtype=torch.uint8)
    assert float(model([image], [{"semantic": nothing}])["loss_semantic"].detach()) == 0
    some = nothing.clone()
    some[:4, :4] = 1
    loss = model([image], [{"semantic": some}])["loss_semantic"].detach()
    torch.testing.assert_close(loss, torch.log(torch.tensor(3.0)))  # the mean over labelled pixels alone


def test_a_small_network_learns_a_picture(picture: Any) -> None:
    torch.manual_seed(0)
    model = Fcn(FcnConfig(**TINY, network="fcn8s", norm="bn", dropout=0.0)).train()
    image = torch.from_numpy(picture).permute(2, 0, 1) / 255
    labels = (image.mean(dim=0) > image.mean()).to(torch.uint8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(12):
        loss = model([image], [{"semantic": labels}])["loss_semantic"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_dropout_follows_from_the_draws() -> None:
    torch.manual_seed(0)
    model = Fcn(FcnConfig(**TINY, network="fcn32s", dropout=0.5)).train()
    torch.nn.init.normal_(model.score_fr.weight)  # type: ignore[arg-type]
    image, labels = torch.rand(3, 64, 64), torch.zeros((64, 64), dtype=torch.uint8)
    first, again, other = (
        float(model([image], [{"semantic": labels, "draw": draw}])["loss_semantic"].detach())
        for draw in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"network": "fcn4s"}, "network is 'fcn4s', expected one of"),
        ({"backbone": "resnet18", "norm": "bn", "width": 0.5}, "both are of VGG16"),
        ({"backbone": "resnet18"}, "norm is 'none' with resnet18, expected bn or frozen_bn"),
        ({"norm": "frozen_bn"}, "norm is 'frozen_bn' with vgg16, expected none or bn"),
        ({"norm": "bn", "geometry": "caffe"}, "published weights have none"),
        ({"num_classes": 256}, "expected 1 to 255"),
        ({"placement": "square"}, "placement is 'square'"),
        ({"skip_scales": (1.0, 0.0)}, "two positive numbers"),
        ({"dropout": 1.0}, "dropout below 1"),
        ({"width": 4.5}, "expected width up to 4"),
        ({"width": 0.0}, "expected width up to 4"),
        ({"fc_channels": 0}, "at least one channel"),
    ],
)
def test_settings_that_make_no_network_are_named(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(CheckpointError, match=told):
        FcnConfig(**settings)


def test_the_widest_network_and_the_one_without_dropout_are_let_through() -> None:
    widest = FcnConfig(width=4.0, dropout=0.0, fc_channels=1)
    assert (widest.width, widest.dropout, widest.fc_channels) == (4.0, 0.0, 1)
