"""Loads samples as the network's training input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors

import maskrt.training.data as data
from maskrt.runtime.contract import Canvas
from maskrt.runtime.preprocess import resized_size
from maskrt.runtime.resize import resize
from maskrt.training.keypoint_targets import MARKS, POINTS, finished, keypoint_targets
from maskrt.training.loop.augment import augmentation
from maskrt.training.loop.draws import Draws

SEMANTIC = "semantic"  # the target of networks that give a class map
MIN_OBJECT_PX = 1  # an object that shrank below a pixel has no box to learn


class TrainingImages(Dataset):
    """Images and targets as a network takes them (models/family.py), resized as at inference and augmented.

    Masks are resized one by one before anything else: thirty of them at 1920×1080 are 60 MB, and nothing of
    that resolution reaches the network. Crowd regions are left out: their box and mask are no one object's.
    """

    def __init__(
        self,
        dataset: data.Dataset,
        canvas: Canvas,
        augment: str,
        seed: int,
        crop_px: int = 0,
        crop_scales: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """augment, crop_px, crop_scales: as `augmentation` takes them."""
        self.dataset, self.seed = dataset, seed
        self.canvas = replace(canvas, dtype="uint8")  # what the augmentation works on
        self.augment = augmentation(augment, crop_px, crop_scales)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: int) -> tuple[Tensor, dict[str, Any]]:
        """(3, h, w) float32 in 0–1, and what is to be found there, with the draw itself.

        Of data with label maps: `semantic` (h, w) uint8, 255 where nothing is to be learned. Else: boxes
        (G, 4), labels (G,) from 1, masks (G, h, w) uint8 and, where the data has any, keypoints (G, K, 3):
        x, y, 1 if labelled.

        draw: as `Draws` numbers them; the augmentation follows from it and the seed alone.
        """
        sample = self.dataset[draw % len(self)]
        size = resized_size(sample.height_px, sample.width_px, self.canvas)
        image = tv_tensors.Image(torch.from_numpy(resize(sample.image(), size, self.canvas)).permute(2, 0, 1))
        target = self._label_map(sample, size) if self.dataset.has_labels else self._objects(sample, size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + draw)
            pixels, target = self.augment(image, target)
        plain = {k: v.as_subclass(Tensor) for k, v in target.items()}
        if (layout := self.dataset.keypoints) is not None and POINTS in plain:
            plain[POINTS] = finished(plain[POINTS], plain.pop(MARKS), layout)
        return pixels.as_subclass(Tensor), plain | {"draw": draw}

    def _label_map(self, sample: data.Sample, size: tuple[int, int]) -> dict[str, Any]:
        return {SEMANTIC: tv_tensors.Mask(torch.from_numpy(sample.labels(size)))}

    def _objects(self, sample: data.Sample, size: tuple[int, int]) -> dict[str, Any]:
        height, width = size
        scale = np.array([width / sample.width_px, height / sample.height_px] * 2, np.float32)
        boxes = np.array([i.box for i in sample.instances], np.float32).reshape(-1, 4) * scale
        masks = sample.masks(size)
        keep = np.array([not i.is_crowd for i in sample.instances], bool)
        keep &= masks.any(axis=(1, 2)) & (
            (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= MIN_OBJECT_PX
        )
        labels = np.array([i.label + 1 for i in sample.instances], np.int64)
        target = {
            "boxes": tv_tensors.BoundingBoxes(boxes[keep], format="XYXY", canvas_size=size),
            "masks": tv_tensors.Mask(torch.from_numpy(masks[keep].astype(np.uint8))),
            "labels": torch.from_numpy(labels[keep]),
        }
        if (layout := self.dataset.keypoints) is not None:
            kept = [one for one, stays in zip(sample.instances, keep, strict=True) if stays]
            target |= keypoint_targets(kept, layout, sample, size)
        return target


def training_loader(images: TrainingImages, draws: Draws, *, workers: int) -> DataLoader[Any]:
    """Loader of the drawn images' batches: lists of images and of targets, as `TrainingImages` gives them."""
    return DataLoader(
        images,
        batch_size=draws.batch,
        sampler=draws,
        num_workers=workers,
        persistent_workers=workers > 0,
        # A forked worker inherits the locks of OpenCV's threads, and can wait for them for ever.
        multiprocessing_context="forkserver" if workers else None,
        collate_fn=_collate,
        worker_init_fn=_start_worker,
    )


def _collate(samples: list[Any]) -> tuple[list[Tensor], list[dict[str, Any]]]:
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


def _start_worker(index: int) -> None:
    cv2.setNumThreads(1)  # the cores belong to the network
