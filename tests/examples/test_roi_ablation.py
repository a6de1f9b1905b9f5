"""The ablation's table is made of the runs that are there, and a failed run ends it with a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.conftest import REPOSITORY

WAYS = ("pool_max", "warp_max", "warp_avg", "align_max", "align_avg")


def ablate(output: Path, data: str) -> subprocess.CompletedProcess[str]:
    script = REPOSITORY / "examples/roi_ablation/ablate.py"
    arguments = ["--data", data, "--val", data, "-o", str(output)]
    return subprocess.run(
        [sys.executable, str(script), *arguments], cwd=REPOSITORY, capture_output=True, text=True
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for i, way in enumerate(WAYS):
        (tmp_path / way).mkdir()
        metrics = {"mask_ap": 0.1 * i + 0.012, "mask_ap50": 0.9, "mask_ap75": 0.1 * i + 0.3456}
        (tmp_path / way / "metrics.json").write_text(json.dumps(metrics))
    return tmp_path


def test_finished_runs_become_a_table_beside_the_papers(runs: Path) -> None:
    done = ablate(runs, "nowhere")
    assert done.returncode == 0, done.stderr
    rows = (runs / "ablation.md").read_text().splitlines()[2:]
    assert rows[0] == "| RoIPool (`pool_max`) | 1.2 | 90.0 | 34.6 | 26.9 | 48.8 | 26.4 |"
    assert rows[4] == "| RoIAlign, average (`align_avg`) | 41.2 | 90.0 | 74.6 | 30.3 | 51.2 | 31.5 |"
    assert [row.split("`")[1] for row in rows] == list(WAYS)
    assert cv2.imread(str(runs / "ablation.png")) is not None


def test_a_missing_run_is_trained_and_its_failure_told(runs: Path) -> None:
    (runs / "warp_avg/metrics.json").unlink()
    done = ablate(runs, str(runs / "nowhere.json"))
    assert done.returncode != 0
    assert f"{runs / 'nowhere.json'}" in done.stderr
    assert "ablate.py: training with roi_pool=warp_avg failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (runs / "ablation.md").exists()


def test_a_run_without_masks_is_no_part_of_it(runs: Path) -> None:
    (runs / "align_max/metrics.json").write_text('{"box_ap": 0.5}')
    done = ablate(runs, "nowhere")
    assert done.returncode != 0
    assert "align_max/metrics.json: no 'mask_ap' in it. Train with --val and masks." in done.stderr
