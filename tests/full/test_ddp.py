"""Two processes over gloo take the steps of one process with twice the batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import REPOSITORY
from tests.training.runs import TINY, logged, setting, weights

pytestmark = pytest.mark.full

# As in tests/training/test_train_ways.py: each image counts as much, and no norm sees its neighbours.
EQUAL_SHARES = setting("norm=gn", "optimizer=sgd", "box_positive_fraction=0.07")
ROUNDING = 1e-5  # sums in another order, after four steps of weights below 1


def train(output: Path, *arguments: str, launcher: tuple[str, ...] = ("-m",)) -> None:
    data = ["--data", "synthetic:8", "--val", "synthetic:3:1", "--epochs", "1", "--lr", "0.01"]
    command = [
        sys.executable,
        *launcher,
        "maskrt.training.train",
        *data,
        "-o",
        str(output),
        *TINY,
        *EQUAL_SHARES,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("alone")
    train(output, "--batch", "2")
    return output


@pytest.mark.parametrize(
    "launcher", [("-m",), ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")]
)
def test_two_processes_are_one_with_twice_the_batch(
    launcher: tuple[str, ...], alone: Path, tmp_path: Path
) -> None:
    train(tmp_path / "two", "--batch", "1", "--devices", "2", launcher=launcher)
    assert logged(tmp_path / "two", "train/loss") == pytest.approx(logged(alone, "train/loss"), rel=1e-4)
    one, two = weights(alone / "last.pt"), weights(tmp_path / "two" / "last.pt")
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=0, atol=ROUNDING, msg=key)
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (alone, tmp_path / "two")]
    assert metrics[1] == pytest.approx(metrics[0], abs=1e-6)


def test_the_comparison_tells_half_of_the_batch_apart(alone: Path, tmp_path: Path) -> None:
    train(tmp_path / "half", "--batch", "1")
    assert logged(tmp_path / "half", "train/loss")[0] != pytest.approx(
        logged(alone, "train/loss")[0], rel=1e-3
    )
