"""The documentation as a site: it is built, every link in it leads somewhere, and a broken one is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytest.importorskip(
    "mkdocs", reason="mkdocs is for Python 3.11 and later: make installs it from requirements.txt"
)


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(site)],
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )


def test_the_site_is_built_and_every_link_and_anchor_in_it_is_there(tmp_path: Path) -> None:
    done = build(ROOT / "mkdocs.yml", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} | {"index", "changelog", "contributing"}
    assert {page.stem for page in tmp_path.glob("*.html")} == pages | {"404"}
    start = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'href="training.html"' in start, "the README's links are turned"
    assert "https://fonts." not in start, "nothing is loaded from other servers"


@pytest.mark.parametrize("link", ["missing.md", "index.md#no-such-heading"])
def test_a_link_that_leads_nowhere_is_an_error(link: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Start\n\n[there]({link})\n", encoding="utf-8")
    config = tmp_path / "mkdocs.yml"
    config.write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: docs\ntheme: {{name: mkdocs}}\nhooks: []\n"
        "nav: [index.md]\nplugins: []\n",
        encoding="utf-8",
    )
    done = build(config, tmp_path / "site")
    assert done.returncode == 1
    assert "WARNING" in done.stderr
    assert f"'{link}'" in done.stderr
