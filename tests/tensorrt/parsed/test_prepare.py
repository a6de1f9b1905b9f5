"""Whether the real parsers can be used here: a test that cannot run is skipped, with what is lacking."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tensorrt.parsed.prepare import lacking_library

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


def linked(folder: Path, name: str, *against: str) -> Path:
    """An empty shared library, linked against others of the folder."""
    library = folder / f"lib{name}.so"
    empty = ["gcc", "-shared", "-fPIC", "-xc", os.devnull, "-Wl,--no-as-needed", f"-L{folder}"]
    names = [f"-l{other}" for other in against]
    subprocess.run([*empty, "-o", str(library), *names, f"-Wl,-rpath,{folder}"], check=True)
    return library


def test_a_library_that_is_linked_against_one_that_is_gone(tmp_path: Path) -> None:
    messages = linked(tmp_path, "messages")
    parser = linked(tmp_path, "parser", "messages")
    assert lacking_library(parser) is None

    messages.unlink()

    assert (lacking_library(parser) or "").startswith("libmessages.so: cannot open shared object file")
