"""Dataset readers (`load` lists the formats), and scenes made on the fly. All give the one
`Sample` type.

Needs numpy, OpenCV, Pillow, pycocotools and PyYAML, never torch: `maskrt evaluate` reads datasets too.
"""

from maskrt.training.data.load import FORMATS, load_dataset
from maskrt.training.data.sample import Dataset, Instance, Sample

__all__ = ["FORMATS", "Dataset", "Instance", "Sample", "load_dataset"]
