"""Finds how many images fit in memory at a time (`--batch auto`), by steps whose results are discarded."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

import maskrt.training.data as data
from maskrt.models import find_family
from maskrt.models.checkpoint import Checkpoint
from maskrt.models.config import ModelConfig
from maskrt.runtime.backends.trt.device import available_bytes
from maskrt.runtime.contract import Canvas
from maskrt.runtime.errors import MaskrtError
from maskrt.runtime.preprocess import resized_size
from maskrt.training.config import TrainConfig
from maskrt.training.keypoint_targets import check_keypoints
from maskrt.training.loop.loader import TrainingImages

MOST = 16  # images; more a step wants another schedule than the presets have (arXiv:1706.02677)
SHARE = 0.8  # of the memory that is free; the rest is for validation, and for images with more objects
AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def automatic_batch(
    dataset: data.Dataset, model_config: ModelConfig, config: TrainConfig, *, resume: bool
) -> int:
    """Batch that `--batch auto` stands for. Raises MaskrtError where it could come out differently on
    resuming."""
    if resume:
        raise MaskrtError(
            "--batch auto: a run that goes on keeps its batch. It is in run.yaml: give that number."
        )
    if config.devices * config.nodes > 1:
        raise MaskrtError(
            "--batch auto: several processes take batches of one size. Find it with one: --devices 1"
        )
    dataset = dataset.for_task(model_config.finds)
    keypoints = check_keypoints(dataset, None) if model_config.keypoints_found else None
    model_config = find_family(model_config.family).for_data(
        model_config, len(dataset.classes), len(keypoints.names) if keypoints else 0
    )
    canvas = Checkpoint(model_config, dataset.classes, {}, keypoints=keypoints).contract().canvas
    return largest_batch(dataset, model_config, canvas, config)


def largest_batch(
    dataset: data.Dataset, model_config: ModelConfig, canvas: Canvas, config: TrainConfig
) -> int:
    """Number of images a process that fit in memory, at most `MOST` and as many as the data set has.

    The steps use the data set's largest image as it is resized, with the most objects, repeated. On a GPU
    they are tried until memory runs out. On a CPU, where that would end the process, the memory of one and of
    two images is measured and extrapolated. Raises MaskrtError where not even one fits, or memory is unknown.
    """
    most = min(MOST, len(dataset))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    step = Step(dataset, model_config, canvas, config, device)
    if device == "cuda":
        return by_trial(step, most)
    step(1)  # what is allocated once
    one_bytes, two_bytes = (_peak_bytes(step, images) for images in (1, 2))
    return by_estimate(one_bytes, two_bytes, _free_bytes() + _status_bytes("VmRSS"), most)


def by_trial(step: Callable[[int], None], most: int) -> int:
    """Largest number of images whose step does not run out of memory: doubled, then bisected."""
    fits, fails = 0, most + 1
    images = 1
    while fits + 1 < fails:
        try:
            step(images)
            fits = images
        except torch.OutOfMemoryError:
            fails = images
        gc.collect()
        torch.cuda.empty_cache()
        images = min(2 * fits, most) if fails > most and fits else (fits + fails) // 2
    if not fits:
        raise _too_small("a step of one image runs out of the GPU's memory")
    return fits


def by_estimate(one_bytes: int, two_bytes: int, all_bytes: int, most: int) -> int:
    """Number of images whose step fits, if each takes what the second took beyond the first.

    one_bytes, two_bytes: the process's peak in a step of one and of two images; all_bytes: what it may have.
    """
    each_bytes = max(two_bytes - one_bytes, 1)
    fits = 1 + int((SHARE * all_bytes - one_bytes) // each_bytes)
    if fits < 1:
        raise _too_small(f"a step of one image takes {one_bytes / 2**30:.1f} GiB")
    return min(fits, most)


class Step:
    """Training step of some copies of one image: forward, backward, and the optimiser's update."""

    def __init__(
        self,
        dataset: data.Dataset,
        model_config: ModelConfig,
        canvas: Canvas,
        config: TrainConfig,
        device: str,
    ) -> None:
        self._device, self._autocast = device, AUTOCAST.get(config.precision)
        self._model: Any = find_family(model_config.family).build(model_config).to(device).train()
        parameters = self._model.parameters()
        if config.optimizer == "adamw":
            self._optimizer: torch.optim.Optimizer = torch.optim.AdamW(parameters, lr=0.0)
        else:
            self._optimizer = torch.optim.SGD(parameters, lr=0.0, momentum=0.9)
        images = TrainingImages(dataset, canvas, "none", config.seed, config.crop_px)
        image, target = images[_heaviest(dataset, canvas)]
        self._image = image.to(device)
        self._target = {k: v.to(device) for k, v in target.items() if isinstance(v, torch.Tensor)}

    def __call__(self, images: int) -> None:
        """Take the step. Raises torch.OutOfMemoryError on a GPU that is too small."""
        with torch.autocast(self._device, dtype=self._autocast, enabled=self._autocast is not None):
            losses = self._model([self._image] * images, [dict(self._target) for _ in range(images)])
            total = torch.stack(list(losses.values())).sum()
        total.backward()
        self._optimizer.step()
        self._optimizer.zero_grad()


def _heaviest(dataset: data.Dataset, canvas: Canvas) -> int:
    def weight(index: int) -> tuple[int, int]:
        sample = dataset[index]
        height, width = resized_size(sample.height_px, sample.width_px, canvas)
        return height * width, len(sample.instances)

    return max(range(len(dataset)), key=weight)


def _peak_bytes(step: Callable[[int], None], images: int) -> int:
    """Largest resident set of this process during a step. Linux resets the mark on request."""
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        raise MaskrtError("--batch auto: memory cannot be measured on this system. Give a number.") from error
    step(images)
    return _status_bytes("VmHWM")


def _status_bytes(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _free_bytes() -> int:
    """Memory that the system would give, or less where a container's limit is lower (cgroup 2)."""
    available = available_bytes()
    with suppress(OSError, ValueError):  # "max", or no such limit
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
        available = min(available, limit)
    return available


def _too_small(what: str) -> MaskrtError:
    return MaskrtError(
        f"--batch auto: {what}, which is more than there is. Use smaller images: --set min_size_px=512 "
        "--set max_size_px=800"
    )
