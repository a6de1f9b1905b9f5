"""Which layers learn: Matterport's names, and plans of them by epoch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch import nn

from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.runtime.errors import MaskrtError
from maskrt.training.layers import TrainLayers, layers_at, parse_plan, set_trained, stage_of


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build_mask_rcnn(MaskRcnnConfig(backbone="resnet18", norm="bn"))


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("backbone.body.conv1.weight", 1),
        ("backbone.body.layer1.0.conv1.weight", 2),
        ("backbone.body.layer4.1.bn2.bias", 5),
        ("backbone.fpn.inner_blocks.0.0.weight", 6),
        ("rpn.head.conv.0.0.weight", 6),
        ("roi_heads.box_head.fc6.weight", 6),
    ],
)
def test_stages_are_those_of_the_paper(name: str, stage: int) -> None:
    assert stage_of(name) == stage


@pytest.mark.parametrize(
    ("layers", "trained"),
    [
        ("heads", set()),
        ("5+", {"layer4"}),
        ("4+", {"layer3", "layer4"}),
        ("3+", {"layer2", "layer3", "layer4"}),
        ("all", {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
    ],
)
def test_layers_learn_from_a_stage_up(layers: str, trained: set[str], model: nn.Module) -> None:
    set_trained(model.train(), layers)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name.split(".")[2] for name in learning if name.startswith("backbone.body")} == trained
    others = {name for name, _ in model.named_parameters() if not name.startswith("backbone.body")}
    assert others <= learning, "the pyramid and the heads always learn"
    norms = {
        name.split(".")[2]
        for name, m in model.named_modules()
        if name.startswith("backbone.body") and isinstance(m, nn.BatchNorm2d) and m.training
    }
    assert norms == {name for name in trained if name != "conv1"}, "statistics of frozen norms stay"


def test_a_plan_goes_by_epochs_done() -> None:
    plan = parse_plan("heads:2, 4+:3,all")
    assert [layers_at(plan, epoch) for epoch in range(5)] == ["heads", "heads", "4+", "all", "all"]
    assert [layers_at(parse_plan("5+"), epoch) for epoch in (0, 99)] == ["5+", "5+"]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("head", "'head' is none of heads, 5"),
        ("heads:x,all", "'heads:x' is none of"),
        ("heads:4,all:2", "the epochs must rise"),
        ("heads,all", "the epochs must rise, and the last part has none"),
        ("heads:4,4+:4,all", "the epochs must rise"),
        ("", "'' is none of"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(plan: str, message: str) -> None:
    with pytest.raises(
        MaskrtError, match=f"--layers {plan.replace('+', '.')}: .*{message}.*--layers heads:20"
    ):
        parse_plan(plan)


def test_a_run_resumed_in_an_epoch_has_the_layers_of_that_epoch(model: nn.Module) -> None:
    set_trained(model, "all")
    TrainLayers("heads:1,all").on_train_batch_start(
        SimpleNamespace(current_epoch=0), SimpleNamespace(model=model), None, 7
    )
    assert not model.backbone.body["conv1"].weight.requires_grad


def test_a_backbone_without_numbered_stages_has_heads_and_all() -> None:
    model = nn.Module()
    model.backbone = nn.ModuleDict({"body": nn.Sequential(nn.Conv2d(3, 4, 1)), "fpn": nn.Conv2d(4, 4, 1)})
    set_trained(model, "heads")
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]
    with pytest.raises(MaskrtError, match=r"--layers 4\+: this backbone has no stage 4"):
        set_trained(model, "4+")
