"""Ten thousand frames, through everything that is written: memory and file handles stay where they were."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest

from maskrt.runtime.backends.open import Session
from maskrt.runtime.inputs.frames import Inferred
from maskrt.runtime.inputs.open import open_inputs
from maskrt.runtime.pipeline.run import Pipeline
from maskrt.runtime.tasks.instances.drawing.overlay import Overlay, paint_splash
from maskrt.runtime.tasks.style import Style
from tests.runtime.sinks import open_sinks
from tests.runtime.videos import write_video

pytestmark = [pytest.mark.full, pytest.mark.soak]

FRAMES, WARM = 10_000, 2_000
# The allocator's own ebb and flow. A leak of one frame's pixels in ten (48x64x3 bytes) would be 7 MB, of a
# frame's results as Python objects (about 2 kB) 16 MB.
STEADY_BYTES = 5_000_000


def test_memory_and_handles_are_steady(tiny_session: Session, picture: np.ndarray, tmp_path: Path) -> None:
    video = write_video(tmp_path / "long.avi", [picture] * FRAMES)
    sources = open_inputs([str(video)])
    sinks = open_sinks(
        tmp_path / "out", sources, ["overlays", "splash"], video=None, masks=False, contours=True
    )
    process = psutil.Process()
    memory_bytes, handles = [], []

    painters = {"overlays": Overlay(Style(color_by="instance")), "splash": paint_splash}
    with closing(Pipeline(tiny_session, painters=painters).run(sources)) as items:
        for count, item in enumerate(items, start=1):
            assert isinstance(item, Inferred)
            for sink in sinks:
                sink.add(item)
            if count % 1000 == 0:
                memory_bytes.append(process.memory_info().rss)
                handles.append(len(os.listdir("/proc/self/fd")))
    for sink in sinks:
        sink.close()

    print(f"MB after each thousand: {[round(b / 1e6) for b in memory_bytes]}")
    assert count == FRAMES
    assert max(memory_bytes[WARM // 1000 :]) - memory_bytes[WARM // 1000 - 1] < STEADY_BYTES
    assert max(handles) == handles[0]
