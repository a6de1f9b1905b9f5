"""Published weights of FCN are read as what they are: the same classes, whatever the picture's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskrt.models.checkpoint import Checkpoint
from maskrt.models.load import load_checkpoint
from maskrt.models.parts.canvas import NormaliseCanvas
from maskrt.runtime.errors import CheckpointError
from tests.models.fcn.published import run, write

NAMES = ["background", "cat", "dog"]
NARROW = {"width": 8, "fc": 16, "classes": len(NAMES)}
CLOSE = 1e-5  # of the largest score, in float32 and through sums of another order


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    generator = torch.Generator().manual_seed(3)
    return [torch.rand((3, *size), generator=generator) * 255 for size in ((33, 50), (64, 41))]


@pytest.mark.parametrize("network", ["fcn32s", "fcn16s", "fcn8s"])
def test_a_state_dict_gives_the_published_networks_scores(
    network: str, pictures: list[Any], tmp_path: Path
) -> None:
    weights = write(network, **NARROW)
    torch.save(weights, tmp_path / "fcn.pth")

    read = load_checkpoint(tmp_path / "fcn.pth", NAMES)

    assert [c.name for c in read.classes] == NAMES
    assert read.config.to_dict() | {"network": network, "geometry": "caffe"} == read.config.to_dict()
    for picture in pictures:
        close(scores(read, picture), run(weights, picture))


def test_what_the_trainer_writes_tells_at_once_by_its_architecture(
    pictures: list[Any], tmp_path: Path
) -> None:
    weights = write("fcn8s", **NARROW)
    content = {"epoch": 3, "arch": "FCN8sAtOnce", "model_state_dict": weights, "optim_state_dict": {}}
    torch.save(content, tmp_path / "model_best.pth.tar")

    read = load_checkpoint(tmp_path / "model_best.pth.tar", NAMES)

    close(scores(read, pictures[0]), run(weights, pictures[0], scales=(0.01, 0.0001)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.pop("fc7.bias"), r"missing \['fc7\.bias'\]"),
        (lambda w: w.update(extra=torch.ones(1)), r"left over \['extra'\]"),
        (lambda w: w.pop("upscore8.weight"), "without any of upscore, upscore16 and upscore8"),
    ],
)
def test_weights_that_do_not_fit_are_named(change: Any, told: str, tmp_path: Path) -> None:
    weights = write("fcn8s", **NARROW)
    change(weights)
    torch.save(weights, tmp_path / "fcn.pth")
    with pytest.raises(CheckpointError, match=told):
        load_checkpoint(tmp_path / "fcn.pth", NAMES)


def test_classes_without_names_ask_for_them(tmp_path: Path) -> None:
    torch.save(write("fcn32s", **NARROW), tmp_path / "fcn.pth")
    with pytest.raises(CheckpointError, match=r"3 classes apart.*has no names for them.*--classes"):
        load_checkpoint(tmp_path / "fcn.pth")


@torch.no_grad()
def scores(read: Checkpoint, picture: Any) -> Any:
    """Through the contract's own normalisation, of a canvas that is the picture."""
    config: Any = read.config
    sizes = torch.tensor([picture.shape[1:]], dtype=torch.float32)
    canvas = NormaliseCanvas(config.mean, config.std)(picture.permute(1, 2, 0)[None], sizes)
    model: Any = read.build()
    return model.whole(canvas)[1][0]


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, atol=CLOSE * float(theirs.abs().max()))
    assert float(theirs.std(dim=(1, 2)).min()) > 100 * CLOSE * float(theirs.abs().max()), (
        "it looks at the picture"
    )
