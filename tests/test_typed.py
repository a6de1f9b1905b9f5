"""What users' type checkers see of `import maskrt` (PEP 561)."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api
from mypy.modulefinder import FindModuleCache, SearchPaths
from mypy.options import Options
from setuptools.config.pyprojecttoml import read_configuration

import maskrt

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = read_configuration(ROOT / "pyproject.toml", expand=False)["tool"]["setuptools"]
USER = """
import maskrt

model = maskrt.load("model.onnx", device="cuda")
for result in model(["a.jpg", "b.jpg"], min_score=0.5):
    reveal_type(result.boxes)
maskrt.load(3)
maskrt.lod("model.onnx")
"""


@pytest.mark.parametrize("module", ["maskrt", "maskrt.runtime.predictor", "maskrt.training.config"])
def test_an_installed_package_says_that_it_is_typed(module: str) -> None:
    installed = FindModuleCache(SearchPaths((), (), (str(ROOT),), ()), None, Options())

    assert isinstance(installed.find_module(module), str)  # a path, not the reason why it is not taken
    assert "py.typed" in SETTINGS["package-data"]["*"]


def test_load_resolves_in_a_project_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app.py").write_text(USER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)  # no configuration of ours
    monkeypatch.setenv("MYPYPATH", str(ROOT))

    said, _, _ = api.run(["app.py", "--follow-imports=silent", "--no-pretty"])

    revealed, *errors, _ = said.splitlines()
    assert revealed.startswith("app.py:6: note: Revealed type is")
    assert "ndarray" in revealed
    assert [line.partition(": error: ")[0] for line in errors] == ["app.py:7", "app.py:8"], said
    assert 'incompatible type "int"; expected "str | Path"' in errors[0]
    assert '"lod"' in errors[1]


def test_a_name_that_maskrt_has_not_is_an_error_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'maskrt' has no attribute 'lod'"):
        _ = maskrt.lod  # type: ignore[attr-defined]
