"""The report as a page, in a real browser: headless Chromium (see `in_browser`)."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.parity.command import main
from maskrt.runtime.parity.page import page
from maskrt.runtime.parity.report import Report
from maskrt.runtime.tasks.instances.compare.comparison import InstancesComparison
from maskrt.runtime.tasks.instances.compare.match import Matching, Pair
from maskrt.runtime.tasks.instances.compare.tolerances import FP32
from maskrt.runtime.tasks.instances.measure.metric import InstancesMetric

MAX_BYTES = 5_000_000
# Run in the page after its own script: sort twice by the mask IoU, and note what the table shows then.
SORT = """
<script>
const seen = (column) => [...document.querySelectorAll("#instances tbody tr")].map((r) => r.cells[column].textContent);
const button = document.querySelectorAll("#instances th button")[5];
button.click(); const down = seen(5);
button.click(); const up = seen(5);
document.body.dataset.sorted = JSON.stringify([down, up]);
</script>
"""

PHONE_PX = 390
MEASURE = """
<script>
const frame = document.querySelector("iframe");
frame.onload = () => {
  const inner = frame.contentDocument, summary = inner.getElementById("summary");
  const widths = [inner.documentElement.scrollWidth, summary.scrollWidth, summary.parentElement.clientWidth];
  document.body.dataset.widths = JSON.stringify(widths);
};
</script>
"""

Run = Callable[..., Any]
Write = Callable[..., Path]


@pytest.fixture
def reports(
    command: Run, tiny_onnx: Path, write_model: Write, picture: np.ndarray, tmp_path: Path
) -> dict[str, str]:
    """Pages of a passing and of a failing run, over two images, one with a name that would break a script."""
    pictures = [tmp_path / "images" / name for name in ("a.png", "<script>b.png")]
    for path in pictures:
        write_png(path, picture)
    other = write_model(box_rows=((0.1, 0.2, 0.7, 0.9), (0.5, 0.0, 1.0, 0.5), (0.0, 0.6, 0.3, 1.0)))
    pages = {}
    for name, candidate, code in (("passing", tiny_onnx, 0), ("failing", other, 1)):
        target = tmp_path / f"{name}.html"
        ended = command(
            main, tiny_onnx, candidate, *pictures, "--html", target, "-o", tmp_path / f"{name}.json"
        )
        assert ended.code == code, ended.err
        pages[name] = target.read_text(encoding="utf-8")
    return pages


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("passing", "Passed: the same in all that was compared"), ("failing", "Failed: not the same model")],
)
def test_the_page_opens_without_a_network_and_says_the_verdict(
    name: str, verdict: str, reports: dict[str, str], in_browser: Callable[[str], tuple[str, str]]
) -> None:
    document, console = in_browser(reports[name])

    assert console == "", "nothing is reported on the browser's console"
    assert verdict in document
    assert document.count("<tr") >= 6 + 6, "three instances in each of two images, and the summary"
    assert "<script>b.png" in document
    assert f'href="{name}.json"' in document


def test_the_table_sorts_both_ways(
    reports: dict[str, str], in_browser: Callable[[str], tuple[str, str]]
) -> None:
    document, console = in_browser(reports["failing"].replace("</body>", f"{SORT}</body>"))

    found = re.search(r'data-sorted="(\[\[.*?\]\])"', document)
    assert found, console
    down, up = ([float(cell) for cell in column] for column in json.loads(found[1]))
    assert len(down) == 6
    assert down == sorted(down, reverse=True)
    assert up == sorted(up)
    assert down != up


def test_a_fault_in_the_page_s_script_would_be_seen(
    reports: dict[str, str], in_browser: Callable[[str], tuple[str, str]]
) -> None:
    _, console = in_browser(
        reports["passing"].replace('"use strict";', '"use strict"; throw new Error("broken");')
    )

    assert "broken" in console


def test_a_phone_is_wide_enough_for_the_page_and_its_verdict(
    reports: dict[str, str], in_browser: Callable[[str], tuple[str, str]]
) -> None:
    """In a frame of its width, since a window of Chromium's is 500 px wide at least."""
    frame = f'<iframe style="width: {PHONE_PX}px" srcdoc="{html.escape(reports["failing"])}"></iframe>'

    document, console = in_browser(f"<body>{frame}{MEASURE}</body>")

    widths = re.search(r'data-widths="(.*?)"', document)
    assert widths, console
    page_px, summary_px, summary_shown_px = json.loads(widths[1])
    assert page_px <= PHONE_PX
    assert summary_px <= summary_shown_px, "what is allowed stands beside what was measured"


def test_the_page_loads_nothing_from_elsewhere(reports: dict[str, str]) -> None:
    for text in reports.values():
        assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(""", text)
        assert len(text.encode()) < MAX_BYTES


def test_ten_thousand_instances_stay_below_five_megabytes(contract_with: Callable[..., Any]) -> None:
    pair = Pair(0, 0, 0.123456789, 0.123456789, 0.123456789, 0.123456789, 90, 0.123456789, 0.123456789)
    results, scores = InstancesComparison(FP32), np.full(1, 0.123456789, np.float32)
    for _ in range(100):
        matching = Matching((pair,) * 100, (), ())
        results.add_matching("val2017/000000000139.jpg", matching, scores, scores)
    report, metric = Report(results), InstancesMetric(contract_with())

    assert len(page(report.to_dict(), report, metric, beside=None).encode()) < MAX_BYTES
