"""Finds common faults of annotations that a reader accepts; `problems` holds what a reader refuses."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pycocotools import mask as coco_mask

from maskrt.runtime.errors import ImageError
from maskrt.training.data.label_maps import IGNORE_ID, LabelFile
from maskrt.training.data.masks import tight_box
from maskrt.training.data.problems import Problem
from maskrt.training.data.sample import Sample
from maskrt.training.data.survey import Survey

TINY_PX = 4  # a shorter side than this has no cell of its own on the finest pyramid level (stride 4)
SAME_OBJECT_IOU = 0.9
BOX_SLACK_PX = 2.0  # how far a stated box may lie from its mask: rounding, and a line's width

# In order of how much harm they do.
WORDS = {
    "leaked_image": "images are in the training data too: the AP on them means nothing",
    "malformed": "annotations or images cannot be used, and are left out of all that follows",
    "unreadable_image": "images cannot be decoded",
    "foreign_class": "classes are not among those of the training data",
    "duplicate_image": "images are the same as another, pixel by pixel",
    "duplicate_object": "objects lie on another of their class (mask IoU 0.9 or more)",
    "box_unlike_mask": "boxes lie over 2 px from their masks",
    "stray_value": "values in the label maps mean no class, and are ignored",
    "tiny_object": "objects are narrower than 4 px",
    "unused_class": "classes have no object, or no pixel",
    "rare_class": "classes have few objects, or are in few images",
    "image_without_objects": "images have no object: background, if that is meant",
    "unlabelled_image": "images have no labelled pixel",
}


@dataclass(frozen=True)
class Finding:
    """Kind of fault, by its key in WORDS, with its data set and its places."""

    kind: str
    data: str
    places: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.data}: {len(self.places)} {WORDS[self.kind]}, such as {self.places[0]}"

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON."""
        words = WORDS[self.kind]
        return {"kind": self.kind, "data": self.data, "words": words, "places": list(self.places)}


class Faults:
    """Collects faults of the samples that are added, one after another."""

    def __init__(self, malformed: Iterable[Problem]) -> None:
        self.places: dict[str, list[str]] = defaultdict(list)
        self.places["malformed"] = [str(problem) for problem in malformed]
        self.names_by_pixels: dict[str, str] = {}
        self.stray_pixels, self.stray_images = Counter[int](), Counter[int]()  # by value

    def add(self, sample: Sample) -> None:
        """Examine one image. Decodes it, to compare its pixels with the others'."""
        try:
            image = sample.image()
        except ImageError as error:
            self.places["unreadable_image"].append(str(error))
            return
        digest = hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
        first = self.names_by_pixels.setdefault(digest, sample.source)
        if first != sample.source:
            self.places["duplicate_image"].append(f"{sample.source}, as {first}")
        if sample.label_map is not None:
            self._add_labels(sample)
            return
        objects = [i for i in sample.instances if not i.is_crowd]
        if not sample.instances:
            self.places["image_without_objects"].append(sample.source)
        for instance in objects:
            where = f"{sample.source}, annotation {instance.id}"
            x1, y1, x2, y2 = instance.box
            if min(x2 - x1, y2 - y1) < TINY_PX:
                self.places["tiny_object"].append(f"{where}: {x2 - x1:.1f} x {y2 - y1:.1f} px")
            around = tight_box(instance.rle)
            if max(abs(a - b) for a, b in zip(instance.box, around, strict=True)) > BOX_SLACK_PX:
                sides = " ".join(f"{side:g}" for side in instance.box)
                mask = " ".join(f"{side:g}" for side in around)
                self.places["box_unlike_mask"].append(f"{where}: box {sides}, around its mask {mask}")
        self._note_duplicates(sample)

    def _add_labels(self, sample: Sample) -> None:
        try:
            if (sample.labels() == IGNORE_ID).all():
                self.places["unlabelled_image"].append(sample.source)
            strays = sample.label_map.strays() if isinstance(sample.label_map, LabelFile) else {}
        except ImageError as error:
            self.places["unreadable_image"].append(str(error))
            return
        self.stray_pixels.update(strays)
        self.stray_images.update(strays.keys())

    def _note_duplicates(self, sample: Sample) -> None:
        objects = [i for i in sample.instances if not i.is_crowd]
        rles = [i.rle for i in objects]
        overlaps = coco_mask.iou(rles, rles, [0] * len(rles)) if rles else []
        for row, one in enumerate(objects):
            for other, overlap in zip(objects[:row], overlaps[row], strict=False):
                if one.label == other.label and overlap >= SAME_OBJECT_IOU:
                    where = f"{sample.source}, annotations {other.id} and {one.id}"
                    self.places["duplicate_object"].append(f"{where}: IoU {overlap:.2f}")
                    break

    def findings(
        self, survey: Survey, *, training: tuple[Survey, Faults] | None, min_instances: int
    ) -> list[Finding]:
        """List all findings, worst first. training: faults of the training data, where these samples validate
        it."""
        places = dict(self.places)
        places["stray_value"] = [
            f"{value}: {pixels} pixels of {self.stray_images[value]} images"
            for value, pixels in sorted(self.stray_pixels.items())
        ]
        if training:
            known = {c.name for c in training[0].classes}
            places["foreign_class"] = [c.name for c in survey.classes if c.name not in known]
            theirs = training[1].names_by_pixels
            places["leaked_image"] = [
                f"{name}, as {theirs[digest]}"
                for digest, name in self.names_by_pixels.items()
                if digest in theirs
            ]
        else:
            of_class = survey.instances if survey.pixels is None else survey.pixels.images
            counts = {c.name: int(of_class[label]) for label, c in enumerate(survey.classes)}
            places["unused_class"] = [name for name, count in counts.items() if count == 0]
            places["rare_class"] = [
                f"{name}: {count}, expected {min_instances}"
                for name, count in counts.items()
                if 0 < count < min_instances
            ]
        return [Finding(kind, survey.name, tuple(places[kind])) for kind in WORDS if places.get(kind)]
