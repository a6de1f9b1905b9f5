"""What a family's reference does wrong is one sentence that names the tensor."""

from __future__ import annotations

import numpy as np
import pytest

from maskrt.models import FAMILIES
from maskrt.models.checkpoint import Checkpoint
from maskrt.runtime.contract import Category
from maskrt.runtime.errors import ModelError
from tests.conformance.toy.config import ToyConfig
from tests.conformance.toy.family import ToyReference
from tests.conformance.toy.network import Toy

CLASSES = tuple(Category(id=number, name=f"class {number}") for number in (1, 2, 3))
IMAGES, SIZES = np.full((1, 96, 128, 3), 200, np.uint8), np.array([[96, 128]], np.float32)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ToyReference:
    """Of random weights: it finds as many objects as there may be."""
    monkeypatch.setitem(FAMILIES, "toy", "tests.conformance.toy")
    config = ToyConfig(score_threshold=0.01)
    model = Toy(config).eval()
    contract = Checkpoint(config, CLASSES, model.state_dict()).contract(height_px=96, width_px=128, batch=1)
    return ToyReference(model, contract, name="best.pt")


@pytest.mark.parametrize(
    ("taps", "said"),
    [
        ({"features": "features"}, r"has no module for the tap 'cells': its `taps` are \['features'\]"),
        ({"features": "features", "cells": "tail"}, "takes the tap 'cells' from a module 'tail', which"),
        ({"features": "features", "cells": ""}, "never runs the module '' of the tap 'cells'"),
    ],
)
def test_a_wrong_tap_is_named(
    taps: dict[str, str], said: str, toy: ToyReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyReference, "taps", taps)
    with pytest.raises(ModelError, match=f"best.pt: the reference of the family 'toy' {said}"):
        toy.infer_with_stages(IMAGES, SIZES)


def test_more_rows_than_the_contract_has_are_refused(toy: ToyReference) -> None:
    toy.model.config = ToyConfig(score_threshold=0.01, max_detections=20)
    with pytest.raises(ModelError, match=r"gives \(20, 4\) as 'boxes', .* at most 12 of these"):
        toy.infer(IMAGES, SIZES)
