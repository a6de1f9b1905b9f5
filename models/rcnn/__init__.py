"""Model families: a file a family. `build_mask_rcnn` turns a configuration into its network."""

from maskrt.models.rcnn.config import MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn

__all__ = ["MaskRcnnConfig", "build_mask_rcnn"]
