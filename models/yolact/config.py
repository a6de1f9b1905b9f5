"""Every hyper-parameter of YOLACT, and what its authors and MMDetection have otherwise.

The defaults are the paper's, with what its authors' code calls a bug mended: priors of the ratios that are
asked for, pictures that keep their aspect, and no class below the threshold beside one above it.
"""

from __future__ import annotations

from dataclasses import dataclass

from maskrt.models.config import ModelConfig
from maskrt.models.parts.settings import check_choices, check_ranges
from maskrt.models.yolact.layout import PROTOTYPES_MAP_PX, PROTOTYPES_TIMES, inside_of, layers_of
from maskrt.models.yolact.ranges import AT_LEAST, RULES
from maskrt.models.yolact.trunks import TRUNKS
from maskrt.runtime.contract import Inside, Keypoints, Layers
from maskrt.runtime.errors import CheckpointError
from maskrt.runtime.tasks.instances.options import CanvasGrid, InstancesOptions, Prototypes

NMS_KINDS = ("fast", "fast_cross_class", "greedy")
MASK_OUTPUTS = ("factors", "masks")
MASK_THRESHOLD = 0.5


@dataclass(frozen=True)
class YolactConfig(ModelConfig):
    """Every hyper-parameter of the detector. Sizes in pixels of the canvas, thresholds as IoU or score."""

    num_classes: int = 81  # with background, which is class 0 inside the network
    backbone: str = "resnet101"  # one of TRUNKS
    deformable_every: int = 0  # residual blocks of C3 to C5; 0: none (models/yolact/deformable.py)
    norm: str = "bn"  # of the trunk: "bn", or "frozen_bn" with ImageNet weights; "gn" from scratch
    frozen_bn_epsilon: float = 1e-5
    channels: int = 256  # of the pyramid, the protonet and the head
    prototypes: int = 32
    fpn_relu: bool = True  # after the pyramid's 3×3 convolutions
    extra_levels_from: str = "P5"  # what P6 is made of: "P5", or "C5" as MMDetection has it
    # Image
    placement: str = "corner"  # "stretch": both axes to the canvas, as the authors have it
    min_size_px: int = 550
    max_size_px: int = 550
    mean: tuple[float, float, float] = (123.68 / 255, 116.78 / 255, 103.94 / 255)
    std: tuple[float, float, float] = (58.40 / 255, 57.12 / 255, 57.38 / 255)
    # Priors (models/yolact/priors.py)
    prior_sizes_px: tuple[tuple[float, ...], ...] = ((24.0,), (48.0,), (96.0,), (192.0,), (384.0,))  # a level
    prior_ratios: tuple[float, ...] = (1.0, 2.0, 0.5)  # height / width
    square_priors: bool = False  # as wide as the ratio says, and as high: what published weights learned with
    # Detections (models/yolact/suppression.py)
    score_threshold: float = 0.05  # of a prior's best class
    score_every_class: bool = True  # the threshold holds for each class of a prior, not for its best alone
    nms_kind: str = "fast"  # "fast_cross_class": of each prior its best class alone; "greedy": torchvision's
    nms: float = 0.5
    clip_before_nms: bool = False  # at the picture's border, as MMDetection does
    nms_a_class: int = 200  # best rows of a class that Fast NMS looks at
    nms_candidates: int = 1000  # best (prior, class) pairs of all that the NMS can see
    max_detections: int = 100
    mask_iou: bool = False  # scores are those of masks, by a network's word (models/yolact/rescoring.py)
    mask_outputs: str = "factors"  # prototypes and coefficients; "masks": put together inside the graph
    # Training (models/yolact/losses.py)
    positive_iou: float = 0.5
    negative_iou: float = 0.4
    negatives_a_positive: float = 3.0
    box_weight: float = 1.5
    mask_weight: float = 6.125
    semantic_weight: float = 1.0
    mask_iou_weight: float = 25.0
    masks_an_image: int = 100  # positive priors whose masks are learned, drawn at random
    min_box_px: float = 4.0  # smaller objects are not learned

    def __post_init__(self) -> None:
        check_choices(
            self,
            backbone=TRUNKS,
            norm=("bn", "frozen_bn", "gn"),
            extra_levels_from=("P5", "C5"),
            placement=("corner", "stretch"),
            nms_kind=NMS_KINDS,
            mask_outputs=MASK_OUTPUTS,
        )
        check_ranges(vars(self), RULES, AT_LEAST)
        if self.deformable_every and not self.backbone.startswith("resnet"):
            raise CheckpointError(
                f"model configuration: deformable_every is {self.deformable_every} with {self.backbone}, "
                "expected 0: only residual blocks have a convolution to deform."
            )

    @property
    def family(self) -> str:
        """As it is registered."""
        return "yolact"

    @property
    def classes_found(self) -> int:
        """All but the background."""
        return self.num_classes - 1

    @property
    def priors_a_cell(self) -> int:
        """The same on every level."""
        return len(self.prior_sizes_px[0]) * len(self.prior_ratios)

    @property
    def stride(self) -> int:
        """Any side will do; where pictures are padded, that of C5."""
        return 1 if self.placement == "stretch" else 32

    @property
    def title(self) -> str:
        """With its trunk."""
        return f"{self.backbone} {self.family}"

    @property
    def described(self) -> dict[str, str]:
        """As every family's."""
        network = f"{self.family} on {self.backbone}, {self.prototypes} prototypes"
        return {"network": network, "priors a cell": str(self.priors_a_cell), "NMS": self.nms_kind}

    def options(self, rows: str, keypoints: Keypoints | None) -> InstancesOptions:
        """As every family's. What is dropped by its score is so for each class, or for a prior's best; of
        masks' scores nothing is."""
        of_each = (self.score_every_class or self.nms_kind != "fast") and not self.mask_iou
        masks: CanvasGrid = CanvasGrid(PROTOTYPES_MAP_PX, PROTOTYPES_TIMES, MASK_THRESHOLD)
        if self.mask_outputs == "factors":
            masks = Prototypes(PROTOTYPES_MAP_PX, PROTOTYPES_TIMES, MASK_THRESHOLD, self.prototypes)
        threshold = self.score_threshold if of_each else 0.0
        return InstancesOptions(threshold, self.nms, self.max_detections, rows, masks, keypoints)

    @property
    def inside(self) -> Inside:
        """As every family's."""
        return inside_of(self)

    @property
    def layers(self) -> Layers:
        """As every family's."""
        return layers_of(self)


#: What the authors' published weights were trained with.
PUBLISHED = YolactConfig(placement="stretch", square_priors=True, score_every_class=False)

#: Of YOLACT++ (arXiv:1912.06218): sizes of priors by thirds of an octave, and the mask-IoU net. Of a
#: ResNet-50 every block is deformable.
PUBLISHED_PLUS = YolactConfig(
    placement="stretch",
    score_every_class=False,
    deformable_every=3,
    mask_iou=True,
    prior_sizes_px=tuple(
        tuple(size * 2 ** (third / 3) for third in range(3)) for size in (24, 48, 96, 192, 384)
    ),
)
