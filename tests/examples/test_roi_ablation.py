"""The ablation's table is made of the runs that are there, and a failed run ends it with a sentence."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from maskrt.runtime.commands.program import Program
from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "examples/roi_ablation/ablate.py"
WAYS = ("pool_max", "warp_max", "warp_avg", "align_max", "align_avg")


def arguments(output: Path, data: str) -> list[str]:
    return ["--data", data, "--val", data, "-o", str(output)]


def ablate(output: Path) -> int:
    """The exit code of the script's command in this process, where nothing is to be trained."""
    spec = importlib.util.spec_from_file_location("ablate", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(SystemExit) as stopped:
        Program("ablate.py", module.command)(arguments(output, "nowhere"))
    return int(stopped.value.code or 0)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for i, way in enumerate(WAYS):
        (tmp_path / way).mkdir()
        metrics = {"mask_ap": 0.1 * i + 0.012, "mask_ap50": 0.9, "mask_ap75": 0.1 * i + 0.3456}
        (tmp_path / way / "metrics.json").write_text(json.dumps(metrics))
    return tmp_path


def test_finished_runs_become_a_table_beside_the_papers(runs: Path) -> None:
    assert ablate(runs) == 0
    rows = (runs / "ablation.md").read_text().splitlines()[2:]
    assert rows[0] == "| RoIPool (`pool_max`) | 1.2 | 90.0 | 34.6 | 26.9 | 48.8 | 26.4 |"
    assert rows[4] == "| RoIAlign, average (`align_avg`) | 41.2 | 90.0 | 74.6 | 30.3 | 51.2 | 31.5 |"
    assert [row.split("`")[1] for row in rows] == list(WAYS)
    assert cv2.imread(str(runs / "ablation.png")) is not None


def test_a_missing_run_is_trained_and_its_failure_told(runs: Path) -> None:
    (runs / "warp_avg/metrics.json").unlink()
    words = [sys.executable, str(SCRIPT), *arguments(runs, str(runs / "nowhere.json"))]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"{runs / 'nowhere.json'}" in done.stderr
    assert "ablate.py: training with roi_pool=warp_avg failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (runs / "ablation.md").exists()


def test_a_run_without_masks_is_no_part_of_it(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "align_max/metrics.json").write_text('{"box_ap": 0.5}')
    assert ablate(runs) != 0
    said = capsys.readouterr().err
    assert "align_max/metrics.json: no 'mask_ap' in it. Train with --val and masks." in said
