"""Knows the folders of data sets whose labels are images as well: no picture of theirs is meant."""

from __future__ import annotations

from pathlib import Path

#: Folders of labels that are images, and the folder beside them by which they are known as such.
LABELS_BESIDE = {
    "labels": "images",
    "masks": "images",
    "SegmentationClass": "JPEGImages",
    "SegmentationObject": "JPEGImages",
    "gtFine": "leftImg8bit",
}


def is_of_labels(path: Path, root: Path) -> bool:
    """True if a file below the folder `root` lies in a folder of labels, with one of images beside it."""
    inside = path.relative_to(root).parents
    return any(
        (root / folder).with_name(LABELS_BESIDE[folder.name]).is_dir()
        for folder in inside
        if folder.name in LABELS_BESIDE
    )
