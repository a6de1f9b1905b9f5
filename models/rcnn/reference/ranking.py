"""How the reference ranks its proposals: in float64, where equal means equal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torchvision.models.detection.rpn import RegionProposalNetwork


@contextmanager
def ranking_in_double(rpn: RegionProposalNetwork) -> Iterator[None]:
    """While it lasts, the RPN chooses its proposals (torchvision's filter_proposals) in float64.

    In float32 the sigmoid of a logit above 16.6 is 1: proposals of a confident model tie, and which of them
    NMS keeps is left to a sort that is not stable, so that the model has no one answer to be held to. In
    float64 a tie takes a logit above 36.
    """
    choose = rpn.filter_proposals

    def in_double(proposals: torch.Tensor, objectness: torch.Tensor, *others: Any) -> tuple[list, list]:
        boxes, scores = choose(proposals.double(), objectness.double(), *others)
        return [one.to(proposals.dtype) for one in boxes], [one.to(objectness.dtype) for one in scores]

    rpn.filter_proposals = in_double
    try:
        yield
    finally:
        del rpn.filter_proposals
