"""Proposals that nothing but rounding chooses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from maskrt.models.rcnn.layout import PROPOSALS, RPN_LOGITS
from maskrt.runtime.parity.inside.samples import Sample

# Of a level, those whose boxes are decoded: torchvision's rpn_pre_nms_top_n at inference.
CONTENDERS = 1000


def tied_proposals(samples: Mapping[str, Sample]) -> float:
    """The share of a reference's proposals that ties may have decided, 1 at most: contenders whose logit is
    another's of their level to the last bit, over proposals kept: ranked otherwise, each costs one at most.

    A picture without texture has the same logit in many places, and which of them become proposals is left
    to the order in which a backend happens to sort. Of photographs the share is below 0.01.
    """
    tied = 0.0
    for sample in (samples[name] for name in RPN_LOGITS if name in samples):
        contenders = min(CONTENDERS, int(np.prod(sample.shape)))
        logits = np.sort(sample.values, axis=None)[::-1]
        best = logits[: max(1, round(logits.size * contenders / np.prod(sample.shape)))]
        close = np.diff(best) == 0
        tied += contenders * float(np.mean(np.append(close, False) | np.insert(close, 0, False)))
    return min(1.0, tied / max(1, samples[PROPOSALS].shape[0]))
