"""The curves of a run: every loss that its logs have is drawn, whatever network gave it."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from maskrt.models import find_family
from maskrt.runtime.tasks.instances.measure.metric import InstancesMetric
from maskrt.training.loop.plots import losses_of, plot_curves


def test_losses_are_drawn_in_the_familys_order_and_others_by_name() -> None:
    columns = ["epoch", "lr-SGD", "train/loss", "train/loss_b", "train/loss_a", "train/loss_z", "val/loss"]

    assert losses_of(columns) == ["loss_a", "loss_b", "loss_z"]
    assert losses_of(columns, first=("loss_z", "loss_unknown", "loss_b")) == ["loss_z", "loss_b", "loss_a"]


@pytest.mark.parametrize("branch", ["loss_mask", "loss_keypoint"])
def test_rcnns_losses_keep_their_order(branch: str) -> None:
    logged = ["loss_box_reg", "loss_classifier", branch, "loss_objectness", "loss_rpn_box_reg"]

    drawn = losses_of([f"train/{name}" for name in logged], find_family("mask_rcnn").losses)

    assert drawn == ["loss_classifier", "loss_box_reg", branch, "loss_objectness", "loss_rpn_box_reg"]


def test_a_loss_of_any_name_is_in_the_picture(tmp_path: Path) -> None:
    def picture(column: str) -> bytes:
        log = tmp_path / "metrics.csv"
        log.write_text(f"step,train/loss,{column}\n0,3.0,1.0\n1,2.0,0.5\n")
        plot_curves([log], tmp_path / f"{column.replace('/', '-')}.png", InstancesMetric)
        return cv2.imread(str(tmp_path / f"{column.replace('/', '-')}.png")).tobytes()

    assert picture("train/loss_centre") != picture("train/other")
