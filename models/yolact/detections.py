"""From what the head says of every prior to a fixed number of detections."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

import maskrt.models.operators  # noqa: F401  registers the torch operators
from maskrt.models.parts.boxes import blank_past, clip, gather_rows
from maskrt.models.parts.tensorrt_limits import TOPK_LIMIT
from maskrt.models.yolact.config import YolactConfig
from maskrt.models.yolact.priors import decoded, per_prior, prior_sides
from maskrt.models.yolact.suppression import fast_nms

INVALID = -1.0  # below any probability


class Detections(nn.Module):
    """What is found of the priors: the best (prior, class) pairs that the NMS leaves.

    A pair among the best M of all is of a prior whose best class is among the best M of the priors. So no
    more than M priors are decoded.
    """

    prior_sides: Tensor

    def __init__(self, config: YolactConfig) -> None:
        super().__init__()
        self.config, self.most = config, min(config.nms_candidates, TOPK_LIMIT)
        self.register_buffer("prior_sides", prior_sides(config).flatten(0, 1))  # (levels · A, 2)

    def forward(
        self,
        logits: Sequence[Tensor],
        deltas: Sequence[Tensor],
        coefficients: Sequence[Tensor],
        canvas: Tensor,
        image_sizes: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The head's maps, a tensor a level; canvas: (N, 3, H, W), for its shape; image_sizes: (N, 2).

        Returns num_detections (N,) int32, boxes (N, D, 4), scores (N, D), labels (N, D) int32 and
        coefficients (N, D, K), all zeros past the counts.
        """
        config = self.config
        said = per_prior(logits, config.num_classes).to(image_sizes.dtype)
        foreground = functional.softmax(said, dim=-1)[..., 1:]
        best, rows = self._top(foreground.amax(dim=-1))
        priors = self._priors(rows, logits, canvas)
        boxes = decoded(gather_rows(per_prior(deltas, 4).to(best.dtype), rows), priors)
        if config.clip_before_nms:
            boxes = clip(boxes, image_sizes)
        in_picture = (priors[..., 0] < image_sizes[:, 1:]) & (priors[..., 1] < image_sizes[:, :1])
        best = torch.where(in_picture & (best > config.score_threshold), best, INVALID)
        pair, scores, labels = self._pairs(gather_rows(foreground, rows), best)
        boxes = gather_rows(boxes, pair)
        found, keep = self._left(boxes, scores, labels)
        counts = (found > INVALID).to(torch.int32).sum(dim=1, dtype=torch.int32)
        prior = torch.gather(rows, 1, torch.gather(pair, 1, keep))
        own = torch.tanh(gather_rows(per_prior(coefficients, config.prototypes).to(best.dtype), prior))
        missing = config.max_detections - keep.shape[1]  # rows that this model can never fill
        boxes, own = (
            functional.pad(blank_past(values, counts), (0, 0, 0, missing))
            for values in (clip(gather_rows(boxes, keep), image_sizes), own)
        )
        scores, labels = (
            functional.pad(blank_past(values, counts), (0, missing))
            for values in (found, torch.gather(labels, 1, keep).to(torch.int32))
        )
        return counts, boxes, scores, labels, own

    def _top(self, best: Tensor) -> tuple[Tensor, Tensor]:
        """The priors (N, k) that are surest of something, of best (N, P): how sure, and which."""
        if isinstance(best.shape[1], int):
            best, rows = torch.topk(best, min(self.most, best.shape[1]))
            return best, rows
        # A small canvas may have fewer priors than k: pad, so that k stays a constant.
        padded = functional.pad(best, (0, self.most), value=INVALID)
        best, rows = torch.topk(padded, self.most)
        return best, torch.where(best > INVALID, rows, 0)

    def _priors(self, rows: Tensor, levels: Sequence[Tensor], canvas: Tensor) -> Tensor:
        """rows: (N, k) → their priors (N, k, 4), as `priors_of` has them in the same order."""
        a_cell = self.config.priors_a_cell
        heights, widths, starts = [], [], [0]
        for one in levels:
            heights.append(one.shape[2])
            widths.append(one.shape[3])
            starts.append(starts[-1] + one.shape[2] * one.shape[3] * a_cell)
        level = torch.zeros_like(rows)
        for end in starts[1:-1]:
            level = level + (rows >= end).to(torch.int64)
        start = _of(_stacked(starts[:-1], rows), level)
        width, height = (_of(_stacked(sides, rows), level) for sides in (widths, heights))
        cell = (rows - start) // a_cell
        kind = rows - start - cell * a_cell
        y = cell // width
        x = cell - y * width
        dtype = self.prior_sides.dtype
        centre_x = (x.to(dtype) + 0.5) / width.to(dtype) * canvas.shape[3]
        centre_y = (y.to(dtype) + 0.5) / height.to(dtype) * canvas.shape[2]
        place = (level * a_cell + kind).reshape(-1)
        sides = torch.index_select(self.prior_sides, 0, place).view(*rows.shape, 2)
        return torch.cat([torch.stack([centre_x, centre_y], dim=-1), sides], dim=-1)

    def _pairs(self, foreground: Tensor, best: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """foreground: (N, k, classes) of k priors; best: (N, k), `INVALID` of a prior that does not count.

        Returns of M pairs, descending: their prior among the k, score, and label, (N, M) each.
        """
        classes, every = foreground.shape[2], torch.where(best[..., None] > INVALID, foreground, INVALID)
        if self.config.nms_kind == "fast_cross_class":
            row = torch.arange(best.shape[1], device=best.device)[None].expand_as(best)
            return row, best, every.argmax(dim=-1)
        if self.config.score_every_class or self.config.nms_kind == "greedy":
            every = torch.where(every > self.config.score_threshold, every, INVALID)
        scores, pairs = torch.topk(every.flatten(1), min(self.most, best.shape[1] * classes))
        row = pairs // classes
        return row, scores, pairs - row * classes

    def _left(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The best that the NMS leaves, at most as many as there are to be: scores, `INVALID` past their
        number, and rows, (N, K) each."""
        config = self.config
        most = min(config.max_detections, scores.shape[1])
        if config.nms_kind == "greedy":
            keep, counts = torch.ops.maskrt.grouped_nms(
                boxes, scores, labels.to(torch.int32), config.nms, INVALID / 2, most, config.classes_found
            )
            keep = keep.to(torch.int64)
            found = torch.gather(scores, 1, keep)
            ranks = torch.arange(most, device=keep.device, dtype=torch.int32)
            return torch.where(ranks[None] < counts[:, None], found, INVALID), keep
        groups = torch.zeros_like(labels) if config.nms_kind == "fast_cross_class" else labels
        left = fast_nms(
            boxes, scores, groups, scores > INVALID, iou=config.nms, of_a_group=config.nms_a_class
        )
        found, keep = torch.topk(torch.where(left, scores, INVALID), most)
        return found, keep


def _stacked(numbers: Sequence[int], like: Tensor) -> Tensor:
    """Numbers, which may be symbols of a graph whose shapes vary, as a tensor (L,) int64."""
    return torch.stack([torch.scalar_tensor(number, dtype=torch.int64) for number in numbers]).to(like.device)


def _of(values: Tensor, index: Tensor) -> Tensor:
    """values: (L,); index: (N, k), of them. Returns (N, k)."""
    return torch.index_select(values, 0, index.reshape(-1)).view(index.shape)
