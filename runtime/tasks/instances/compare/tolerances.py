"""Tolerances within which two models find the same instances, by precision of the candidate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """Largest differences allowed of any matched instance, and how many instances must be matched.

    by_quantiles: the median of the differences is held to it, not each of them, and nine of ten to `tail`
    times as much. A mean would be decided by a few: where two proposals are nearly equal, rounding chooses
    the one or the other, and such a pair differs a hundred times as much as all the rest.
    flip_score, flip_iou: how near the score of an instance that one side alone has must be to a threshold,
    or its overlap to that of NMS, to be a flip (`flips`). A flip is no failure, every other missed or extra
    instance is; with by_quantiles `matched` is the share that need not be, and `flipped` that of flips.
    """

    score: float
    box_px: float
    mask_iou: float  # smallest allowed
    above_score: float = 0.0  # instances that score lower on both sides are not looked at
    matched: float = 1.0  # share of either side's instances that the other must have
    by_quantiles: bool = False
    tail: float = 4.0
    flipped: float = 1.0  # largest share of the instances that may be flips
    # Between an instance's points on both sides, the mean over its points. torchvision places a point on one
    # sample a pixel, and rounding decides between two samples now and then: of 17 points up to four are off.
    keypoint_px: float = 0.25
    # Float32's rounding and no more: between backends it moved a score by 1.6e-5 at most (R50, 93 images),
    # and a box by 9.5e-4 px (see FP32), which on a box of 20 px is 1e-4 of IoU. Twice the first; the second.
    flip_score: float = 3e-5
    flip_iou: float = 1e-4
    # A pixel whose probability is as near to the masks' threshold belongs to the object or not by rounding:
    # R50 with torchvision's random weights has masks of 0 and 1, and half-way between them 0.5 to the last
    # bits; probabilities differed by 2.6e-4 at most. Twice that. On average a pixel or two do not matter.
    tied_probability: float = 5e-4

    @property
    def rounding_px(self) -> float:
        """Boxes that differ by no more are one box, and their masks are compared in the same frame."""
        return 0.0 if self.by_quantiles else self.box_px

    def of_nine_in_ten(self, limit: float, *, at_least: bool = False) -> float | None:
        """What nine of ten differences are held to, from the limit of their median; at_least: of an IoU."""
        if not self.by_quantiles:
            return None
        return 1 - self.tail * (1 - limit) if at_least else self.tail * limit

    @property
    def swap_px(self) -> float:
        """Boxes of a pair that differ by more, while its scores are nearly equal, are of two proposals."""
        return self.tail * self.box_px


# float32 on another backend sums in another order: rounding of about 1e-7 relative to values that a network
# of a hundred layers amplifies a hundredfold. A prototype on 345 detections of R50-FPN measured 5.5e-6 in
# score, 9.5e-4 px, and IoU 0.9990 (a few border pixels of small masks): these limits are ten times that,
# and a hundred times below what any real fault (a shifted RoIAlign, a swapped channel) causes.
FP32 = Tolerance(score=1e-4, box_px=0.01, mask_iou=0.99)

# Half precision rounds by 5e-4 relative, which moves a score near a threshold across it and a proposal in or
# out of the NMS: instances come and go, so they are counted, and differences are judged by quantiles. 99% of
# the instances above 0.3 and a mask IoU of 0.98 are what the first release promises of an FP16 engine.
# R18 trained on droplets was off by 0.0004 in score and 0.01 px, and had a mean mask IoU of 0.9997; an R50
# after five epochs, on droplets and COCO, by 0.0022 and 0.27 px, and 0.9927. Twice that. A flip is what
# rounding explains: of a score as much, of a box of 20 px a tenth of a pixel. Points move with their boxes:
# of R18 trained on twenty people (15 images, on a CPU) they were off by 0.008 px, boxes by 0.009. They get
# twice the box's, since half may choose the sample beside, which is a pixel away.
FP16 = Tolerance(
    score=0.005,
    box_px=0.5,
    mask_iou=0.98,
    keypoint_px=1.0,
    above_score=0.3,
    matched=0.99,
    by_quantiles=True,
    flip_score=0.005,
    flipped=0.05,
    tied_probability=0.0,
    flip_iou=0.01,
)

# bf16 (layers alone: runtime/backends/brain_float.py) rounds by 4e-3 relative, eight times as much as half.
# R18 trained on droplets was off by 0.0006 in score (nine in ten: 0.004) and 0.05 px (0.16), and had a median
# mask IoU of 0.998 (0.972); a demo's model by 0.001 (0.006) and 0.06 px (0.14), and 0.997 (0.961). Five times
# that. With coordinates in bf16 too the first was off by 0.67 px, and had a mask IoU of 0.954.
BF16 = Tolerance(
    score=0.005,
    box_px=0.3,
    mask_iou=0.985,
    keypoint_px=1.0,
    above_score=0.3,
    matched=0.99,
    by_quantiles=True,
    flip_score=0.005,
    flipped=0.05,
    tied_probability=0.0,
    flip_iou=0.01,
)

# Eight bits: 98% of the instances above 0.5 and a mask IoU of 0.97 (issue of calibration). The same
# model was off by 0.002 in score and 0.3 px, and had a mean mask IoU of 0.986: score and box get five times
# that. Points are placed on a grid of a pixel, within the box: they get twice the box's. Keypoint R-CNN on
# R18, all in eight bits, was off by 1.8 px and lost nothing in OKS AP (docs/keypoints.md).
INT8 = Tolerance(
    score=0.01,
    box_px=1.5,
    mask_iou=0.97,
    keypoint_px=3.0,
    above_score=0.5,
    matched=0.98,
    by_quantiles=True,
    flip_score=0.01,
    flipped=0.05,
    tied_probability=0.0,
    flip_iou=0.15,
)

BY_PRECISION = {"fp32": FP32, "fp16": FP16, "bf16": BF16, "int8": INT8}

# Two detections are compared as one instance from this mask IoU on: far below any tolerance, so that a
# wrong mask is reported as such and not as a missed and an extra detection.
MATCH_IOU = 0.5
