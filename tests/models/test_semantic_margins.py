"""What a reference of class maps gives beside its map: how far each pixel's best class leads."""

from __future__ import annotations

import torch

from maskrt.models.fcn.reference import margins


def test_a_margin_is_the_lead_of_the_best_over_the_second() -> None:
    logits = torch.tensor([[[1.0, -2.0]], [[4.5, -7.0]], [[4.0, -2.0]]])

    assert margins(logits).tolist() == [[0.5, 0.0]]


def test_of_one_class_every_pixel_is_sure_and_finite() -> None:
    alone = margins(torch.zeros(1, 2, 3, dtype=torch.float64)).to(torch.float32)

    assert torch.isfinite(alone).all()
    assert (alone > 1e3).all()
