"""The toy's configuration, and what its contract says."""

from __future__ import annotations

from dataclasses import dataclass

from maskrt.models.config import ModelConfig
from maskrt.runtime.contract import CANVAS, Inside, Keypoints, Layers, Part, Tap
from maskrt.runtime.tasks.instances.options import DETECTED, MASKS, BoxGrid, InstancesOptions

STRIDE_PX = 16  # of its one map


@dataclass(frozen=True)
class ToyConfig(ModelConfig):
    """What is found is a class, a box and a mask for each cell of the map that is sure enough."""

    num_classes: int = 3
    channels: int = 16
    mask_size: int = 8
    min_size_px: int = 96
    max_size_px: int = 128
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)
    score_threshold: float = 0.3
    max_detections: int = 12

    @property
    def family(self) -> str:
        """As it is registered."""
        return "toy"

    @property
    def classes_found(self) -> int:
        """There is no background."""
        return self.num_classes

    @property
    def stride(self) -> int:
        """That of the map."""
        return STRIDE_PX

    def options(self, rows: str, keypoints: Keypoints | None) -> InstancesOptions:
        """As every family's. Nothing is suppressed."""
        masks = BoxGrid(self.mask_size, threshold=0.5)
        return InstancesOptions(self.score_threshold, 1.0, self.max_detections, rows, masks, keypoints)

    @property
    def inside(self) -> Inside:
        """As every family's."""
        return Inside(
            taps=(
                Tap(CANVAS, "map"),
                Tap("features", "map", stride_px=STRIDE_PX),
                Tap("cells", "map", stride_px=STRIDE_PX),
            ),
            parts=(
                Part("features", (CANVAS,), ("features",)),
                Part("head", ("features",), ("cells",)),
                Part("detections", ("cells",), (*DETECTED, MASKS)),
            ),
        )

    @property
    def layers(self) -> Layers:
        """As every family's. The last layer is left in float."""
        return Layers(groups=(("head", "outputs"),), outputs="outputs", units=("features", "head"))
