"""The .cu files, unchanged, with threads that run at once and barriers that make them wait: the host build's bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.export.plugins.emulation import EmulatedKernels, build_emulation
from tests.export.plugins.emulation_cases import CASES, WIDE, same

ROI_ALIGN = ("roi_align FLOAT align_avg ratio 2", "roi_align HALF_CHANNELS_LAST align_max ratio 0")
NMS = ("nms 2 images", "nms 9 groups")
DEFORM = ("deform_conv FLOAT", "deform_conv HALF_CHANNELS_LAST")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_emulation(tmp_path_factory.mktemp("emulated"))


@pytest.fixture(scope="module")
def emulated(library: Path) -> EmulatedKernels:
    return EmulatedKernels(library)


@pytest.mark.parametrize("case", CASES)
def test_real_threads_give_the_bits_of_the_host_build(case, emulated, host):
    assert same(case, emulated, host)


@pytest.mark.full
@pytest.mark.parametrize("case", WIDE)
def test_real_threads_give_the_bits_of_the_host_build_at_full_width(case, emulated, host):
    assert same(case, emulated, host)


@pytest.mark.parametrize("late", [0, 40])  # of the first warp, which votes first, and of the second
@pytest.mark.parametrize("case", [NMS[0], *ROI_ALIGN, DEFORM[0]])
def test_a_thread_that_comes_last_to_everything_changes_nothing(case, late, library, host):
    assert same(case, EmulatedKernels(library, late=late), host)


@pytest.mark.parametrize("parts", [1, 4])
def test_any_number_of_blocks_may_run_at_once(parts, library, host):
    assert same(NMS[0], EmulatedKernels(library, parts), host)


def run_cases(
    library: Path, host, folder: Path, cases: tuple[str, ...], late: int = -1, dropped: int = -1, **env: str
) -> subprocess.CompletedProcess:
    """In a process of its own, which a fault may bring down."""
    command = [sys.executable, "-m", "tests.export.plugins.emulation_cases", str(library), host.library._name]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = {**os.environ, **threads, **env, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [*command, str(late), str(dropped), *cases],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


# Which barrier of a block: RoIAlign's after the RoI is placed and after its samples are tabled, NMS' within a tile,
# DeformConv's after its samples are taken and before others take their place.
@pytest.mark.parametrize(
    ("case", "barrier"), [(ROI_ALIGN[0], 0), (ROI_ALIGN[1], 1), (NMS[0], 5), (DEFORM[0], 1), (DEFORM[1], 2)]
)
def test_a_barrier_taken_out_is_seen(case, barrier, library, host, tmp_path):
    done = run_cases(library, host, tmp_path, (case,), late=0, dropped=barrier)
    assert done.returncode == 1 or done.returncode < 0, done.stderr  # other results, or a wild address
    assert run_cases(library, host, tmp_path, (case,), late=0).returncode == 0


def sanitizer(name: str) -> str:
    """Its library, for a Python that was built without it."""
    path = subprocess.run(
        ["g++", f"-print-file-name=lib{name}.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not os.path.isabs(path):
        pytest.skip(f"g++ has no lib{name}")
    # On some kernels the addresses of a process are too random for it.
    environment = {**os.environ, "LD_PRELOAD": path, "ASAN_OPTIONS": "detect_leaks=0"}
    alone = subprocess.run([sys.executable, "-c", ""], env=environment, capture_output=True, text=True)
    if alone.returncode:
        pytest.skip(f"Python does not start with lib{name}: {alone.stderr.strip()[:200]}")
    return path


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with ThreadSanitizer."""
    return build_emulation(tmp_path_factory.mktemp("tsan"), "-g", "-fsanitize=thread")


# Every storage, method and sampling once; all of NMS' phases.
WATCHED = (
    *NMS,
    *DEFORM,
    *[case for case in CASES if "roi_align" in case and ("ratio 2" in case) == ("FLOAT" in case)],
)


@pytest.mark.full
def test_threads_race_for_nothing(watched, host, tmp_path):
    done = run_cases(watched, host, tmp_path, WATCHED, LD_PRELOAD=sanitizer("tsan"))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.full
@pytest.mark.parametrize(
    ("case", "barrier"), [(ROI_ALIGN[0], 0), (ROI_ALIGN[1], 1), (NMS[0], 3), (NMS[0], 5), (DEFORM[0], 1)]
)
def test_a_barrier_taken_out_is_a_race(case, barrier, watched, host, tmp_path):
    done = run_cases(watched, host, tmp_path, (case,), dropped=barrier, LD_PRELOAD=sanitizer("tsan"))
    assert "WARNING: ThreadSanitizer: data race" in done.stderr
    assert done.returncode != 0


@pytest.mark.full
def test_nothing_is_read_or_written_outside_its_place(host, tmp_path):
    flags = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    library = build_emulation(tmp_path, *flags, "-fsanitize-sections=shared_memory")
    env = {"LD_PRELOAD": sanitizer("asan"), "ASAN_OPTIONS": "detect_leaks=0"}
    done = run_cases(library, host, tmp_path, (*CASES, "nms a second tile"), **env)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_cases_reach_what_they_are_to_reach(host):
    """Kept rows of every image, pooled values other than zero, and of RoIs without an image zero alone."""
    (indices, counts), (pooled,) = CASES[NMS[0]](host), CASES[ROI_ALIGN[0]](host)
    assert counts.min() > 10
    assert np.unique(indices).size > 30
    assert (np.abs(pooled).max(axis=(1, 2, 3)) > 0).sum() >= 6
    assert not pooled[4:6].any()
