"""Model families: a file a family. `build_mask_rcnn` turns a configuration into its network."""

from training.models.config import MaskRcnnConfig
from training.models.mask_rcnn import build_mask_rcnn

__all__ = ["MaskRcnnConfig", "build_mask_rcnn"]
