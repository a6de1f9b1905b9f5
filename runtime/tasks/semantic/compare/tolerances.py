"""Tolerances within which two models give the same class map, by precision of the candidate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """What two maps of one image may differ by.

    differing: the largest share of the pixels that differ. sure: the same of the pixels where the reference's
    best class is further above its second than `margin`, in its own scores (logits): of others rounding
    decides. boundary: the smallest F-score of the borders between classes. on_average: the shares are held to
    it by their mean over the images, not each by itself.
    """

    differing: float
    sure: float
    margin: float
    boundary: float
    on_average: bool = False


# float32 on another backend sums in another order: of logits of some ten it moves the last bits, 1e-5. So
# where the reference is surer than ten times that, no pixel may differ; of ties any may, and a picture of one
# colour has many.
FP32 = Tolerance(differing=0.01, sure=0.0, margin=1e-4, boundary=0.95)
# Half precision rounds by 5e-4 relative, of logits of some ten by some thousandths, and layer by layer more.
FP16 = Tolerance(differing=0.01, sure=0.001, margin=0.1, boundary=0.95, on_average=True)
# bf16 by eight times as much as half.
BF16 = Tolerance(differing=0.02, sure=0.005, margin=0.5, boundary=0.9, on_average=True)
# Eight bits move borders by a pixel or two.
INT8 = Tolerance(differing=0.05, sure=0.01, margin=1.0, boundary=0.8, on_average=True)

BY_PRECISION = {"fp32": FP32, "fp16": FP16, "bf16": BF16, "int8": INT8}
