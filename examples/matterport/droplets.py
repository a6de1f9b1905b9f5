"""Train on droplets as Matterport's balloon sample trains on balloons, and splash colour on an image.

    python examples/matterport/droplets.py train --dataset ../shared/data/droplets --logs out/droplets
    python examples/matterport/droplets.py splash --weights out/droplets/best.pt --image frame.png

With --weights a detector's checkpoint is where training starts, e.g. torchvision's of COCO: its class layers
are left out, the heads learn first, then all. docs/from-matterport.md says what is what there and here.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

import maskrt
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.inputs.images import read_image
from maskrt.runtime.tasks.instances.drawing.draw import splash
from maskrt.training.matterport import Config, Dataset, train


class DropletConfig(Config):
    """What differs from the preset, or from the weights that training starts from."""

    IMAGES_PER_GPU = 2
    DETECTION_MIN_CONFIDENCE = 0.05  # a higher one would be measured as a lower AP


class DropletDataset(Dataset):
    """One class, in VGG Image Annotator's format, read by hand: maskrt train --data reads it too."""

    def load_droplets(self, folder: Path) -> None:
        """Add the images of a folder with a via_region_data.json."""
        self.add_class("droplet", 1, "droplet")
        for entry in json.loads((folder / "via_region_data.json").read_text()).values():
            regions = entry["regions"]
            regions = list(regions.values()) if isinstance(regions, dict) else regions
            if regions:
                shapes = [region["shape_attributes"] for region in regions]
                self.add_image("droplet", entry["filename"], folder / entry["filename"], polygons=shapes)

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, G) bool and (G,) places in class_info, which are all 1."""
        polygons = self.image_info[image_id]["polygons"]
        masks = np.zeros((len(polygons), *self.load_image(image_id).shape[:2]), np.uint8)
        for mask, polygon in zip(masks, polygons, strict=True):
            outline = np.stack([polygon["all_points_x"], polygon["all_points_y"]], axis=1)
            cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1)
        return masks.transpose(1, 2, 0).astype(bool), np.ones(len(polygons), int)


def main(arguments: list[str] | None = None) -> None:
    """Run `train` or `splash`."""
    parser = argparse.ArgumentParser(description="Mask R-CNN on droplets.")
    parser.add_argument("command", choices=("train", "splash"))
    parser.add_argument("--dataset", type=Path, help="folder with train/ and val/")
    parser.add_argument("--weights", type=Path, help="checkpoint to start from, or to run")
    parser.add_argument("--logs", type=Path, default=Path("out/droplets"), help="folder of the run")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--image", type=Path)
    given = parser.parse_args(arguments)
    if given.command == "splash":
        image = read_image(given.image)
        result = maskrt.load(given.weights)(image, min_score=0.5)[0]
        target = given.image.with_name(f"{given.image.stem}-splash.png")
        write_png(target, splash(image, result))
        print(f"{len(result)} droplets: {target}")
        return
    sets = []
    for subset in ("train", "val"):
        sets.append(DropletDataset())
        sets[-1].load_droplets(given.dataset / subset)
    layers = "heads:2,all" if given.weights else "all"
    train(*sets, DropletConfig(), given.logs, weights=given.weights, epochs=given.epochs, layers=layers)


if __name__ == "__main__":
    main()
