"""The umbrella command and the help of every verb."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import maskrt

SCREEN_LINES, SCREEN_COLUMNS = 50, 100


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": str(SCREEN_COLUMNS), "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-m", "maskrt", *arguments], capture_output=True, text=True, env=environment
    )


@pytest.mark.parametrize("verb", sorted(maskrt.VERBS))
def test_help_of_every_verb_fits_a_screen_and_shows_an_example(verb: str) -> None:
    done = run(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: maskrt {verb}" in done.stdout
    assert f"Example: maskrt {verb}" in done.stdout
    assert len(done.stdout.splitlines()) <= SCREEN_LINES


def test_the_umbrella_lists_every_verb_without_importing_a_stage() -> None:
    code = (
        "import sys, maskrt\n"
        "try: maskrt.app(['--help'], prog_name='maskrt')\n"
        "except SystemExit: pass\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'torch', 'numpy', 'cv2', 'onnxruntime', 'training', 'export', 'runtime'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    for verb in maskrt.VERBS:
        assert f" {verb} " in done.stdout


def test_version() -> None:
    assert run("--version").stdout.strip() == maskrt.__version__


def test_a_missing_stage_is_told_with_its_extra() -> None:
    code = (
        "import sys, maskrt\n"
        "sys.modules['lightning'] = None\n"
        "sys.argv = ['maskrt', 'train', '--data', 'x']\n"
        "maskrt.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs the package 'lightning'" in done.stderr
    assert "pip install 'maskrt[train]'" in done.stderr
    assert "Traceback" not in done.stderr
