"""torchvision's networks for class maps: read from their state dicts as they are, and computed by torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import segmentation
from torchvision.transforms._presets import SemanticSegmentation

from maskrt.models.fcn.dilated.config import DilatedConfig
from maskrt.models.load import load_checkpoint
from maskrt.runtime.errors import CheckpointError
from maskrt.runtime.preprocess import preprocess

RESNETS = ["fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101"]
MOBILENETS = ["deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]


def build(name: str, classes: int, *, auxiliary: bool) -> Any:
    options = {} if name.startswith("lraspp") else {"aux_loss": auxiliary}
    torch.manual_seed(0)
    return getattr(segmentation, name)(
        weights=None, weights_backbone=None, num_classes=classes, **options
    ).eval()


@pytest.mark.parametrize(
    ("name", "auxiliary"),
    [
        (MOBILENETS[0], True),
        (MOBILENETS[1], False),
        *(
            pytest.param(name, auxiliary, marks=pytest.mark.full)
            for name in RESNETS
            for auxiliary in (True, False)
        ),
    ],
)
def test_a_state_dict_is_read_and_gives_torchvisions_numbers(
    name: str, auxiliary: bool, tmp_path: Path
) -> None:
    theirs = build(name, 21, auxiliary=auxiliary)
    torch.save(theirs.state_dict(), tmp_path / "model.pth")

    read = load_checkpoint(tmp_path / "model.pth")

    config: Any = read.config
    assert (config.title, config.auxiliary) == (name, auxiliary)
    assert (read.classes[0].id, read.classes[0].name, read.classes[20].name) == (0, "background", "tvmonitor")
    canvas = torch.rand((1, 3, 65, 70), generator=torch.Generator().manual_seed(1))
    model: Any = read.build()
    with torch.no_grad():
        torch.testing.assert_close(model.whole(canvas)[1], theirs(canvas)["out"], rtol=0, atol=0)


def test_pictures_are_resized_as_by_the_transforms_of_torchvisions_weights(tmp_path: Path) -> None:
    """On every pixel; enlarged and made smaller, landscape and portrait."""
    torch.save(build(MOBILENETS[1], 21, auxiliary=False).state_dict(), tmp_path / "model.pth")
    read = load_checkpoint(tmp_path / "model.pth").with_settings({"min_size_px": 64}, "the test")
    transforms = SemanticSegmentation(resize_size=64, mean=(0.0,) * 3, std=(1.0,) * 3)
    draw = np.random.default_rng(0)
    for size in ((41, 57), (97, 83), (150, 203), (331, 250), (64, 90)):
        picture = draw.integers(0, 256, (*size, 3), np.uint8)
        theirs = transforms(Image.fromarray(picture)).permute(1, 2, 0).mul(255).round().numpy()
        np.testing.assert_array_equal(preprocess([picture], read.contract().canvas).images[0], theirs)


def test_other_classes_ask_for_their_names(tmp_path: Path) -> None:
    torch.save(build(MOBILENETS[1], 4, auxiliary=False).state_dict(), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"4 classes apart.*--classes"):
        load_checkpoint(tmp_path / "model.pth")
    read = load_checkpoint(tmp_path / "model.pth", ["ground", "a", "b", "c"])
    assert [(c.id, c.name) for c in read.classes] == [(0, "ground"), (1, "a"), (2, "b"), (3, "c")]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"network": "pspnet"}, "network is 'pspnet'"),
        ({"network": "lraspp"}, "backbone is 'resnet50', expected one of"),
        ({"network": "lraspp", "backbone": "mobilenet_v3_large", "auxiliary": True}, "has no such head"),
    ],
)
def test_settings_that_torchvision_has_not_are_named(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(CheckpointError, match=told):
        DilatedConfig(**settings)
