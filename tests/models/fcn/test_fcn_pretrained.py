"""FCN on a classifier's weights: it computes the classifier's maps, and of VGG16 its fully connected layers too."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18, vgg

from maskrt.models.fcn.config import FcnConfig
from maskrt.models.fcn.network import FC6_SIDE, Fcn
from maskrt.models.fcn.pretrained import load_backbone
from maskrt.runtime.errors import CheckpointError

CLASSES = 3
FC_CHANNELS = 16  # torchvision has 4096: half a gigabyte of weights
SIDE_PX = 32 * FC6_SIDE  # of the pictures that the classifier was made for
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}  # sums of up to 25088 products of float32, in another order


@pytest.fixture(scope="module")
def picture() -> Tensor:
    return torch.rand((1, 3, SIDE_PX, SIDE_PX), generator=torch.Generator().manual_seed(0))


def with_signal(model: nn.Module) -> nn.Module:
    """With weights that let a picture through, and norms that do something."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.8, 1.25)  # type: ignore[arg-type]
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values, std=0.1)  # type: ignore[arg-type]
    return model.eval()


def vgg16(norm: str) -> nn.Module:
    """torchvision's layers under its names."""
    linear = [nn.Linear(512 * FC6_SIDE**2, FC_CHANNELS), nn.Linear(FC_CHANNELS, FC_CHANNELS)]
    classifier = nn.Sequential(linear[0], nn.ReLU(), nn.Dropout(), linear[1], nn.ReLU())
    features = vgg.make_layers(vgg.cfgs["D"], batch_norm=norm == "bn")
    return with_signal(
        nn.Sequential(OrderedDict(features=features, flatten=nn.Flatten(), classifier=classifier))
    )


def saved(model: nn.Module, folder: Path) -> str:
    path = folder / "classifier.pth"
    torch.save(model.state_dict(), path)
    return str(path)


def on_vgg16(norm: str, **settings: Any) -> tuple[Fcn, FcnConfig]:
    config = FcnConfig(num_classes=CLASSES, norm=norm, fc_channels=FC_CHANNELS, **settings)
    return Fcn(config).eval(), config


@pytest.mark.parametrize("norm", ["none", "bn"])
def test_in_the_middle_of_a_picture_fc7_is_vgg16_s(norm: str, picture: Tensor, tmp_path: Path) -> None:
    classifier = vgg16(norm)
    model, config = on_vgg16(norm)

    load_backbone(model, config, saved(classifier, tmp_path))

    with torch.no_grad():
        expected, fc7 = classifier(picture), model.maps(picture)["fc7"]
    middle = FC6_SIDE // 2  # where the window of fc6 is the whole map
    assert float(expected.max()) > 0.1
    torch.testing.assert_close(fc7[:, :, middle, middle], expected, **TOLERANCE)


def test_the_last_map_of_a_resnet_is_the_classifier_s(picture: Tensor, tmp_path: Path) -> None:
    classifier = with_signal(resnet18(num_classes=CLASSES))
    config = FcnConfig(num_classes=CLASSES, backbone="resnet18", norm="bn")
    model = Fcn(config).eval()

    load_backbone(model, config, saved(classifier, tmp_path))

    whole = nn.Sequential(*list(classifier.children())[:-2])  # without the pooling and the classes
    with torch.no_grad():
        torch.testing.assert_close(model.backbone(picture)["pool5"], whole(picture), **TOLERANCE)


@pytest.mark.parametrize(
    ("given", "settings", "unfit"),
    [
        ("none", {"norm": "bn"}, "backbone.norm1_1.weight"),
        ("none", {"width": 0.5}, "backbone.conv1_1.weight"),
    ],
    ids=["without norms", "of another width"],
)
def test_weights_that_do_not_fit_are_named(
    given: str, settings: dict[str, Any], unfit: str, tmp_path: Path
) -> None:
    model, config = on_vgg16(**{"norm": "none", **settings})
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    with pytest.raises(CheckpointError, match=rf"classifier\.pth: not the weights of .*{unfit}"):
        load_backbone(model, config, saved(vgg16(given), tmp_path))

    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
