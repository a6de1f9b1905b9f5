"""Values of options that are none: empty texts, numbers beyond any use, names of dots; each refused."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import maskrt.__main__ as umbrella
from maskrt.runtime.commands.terminal import flush_stdout
from maskrt.runtime.errors import ImageError
from maskrt.runtime.inputs.open import open_inputs


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("infer", "m.onnx", "p.png", "--classes", ""), "--classes"),
        (("export", "m.pt", "--classes="), "--classes="),
        (("calibrate", "m.onnx", "--data", ""), "--data"),
        (("train", "--data", "synthetic:1", "--backbone", ""), "--backbone"),
        (("serve-triton", "m.onnx", "-o", "r", "--name", ""), "--name"),
        (("parity", "m.pt", "m.onnx", ""), "an argument"),
        (("bench", "m.onnx", "--image", "p.png", "--rounds", "9" * 30), "--rounds"),
        (("serve-triton", "m.onnx", "-o", "r", "--workers", "100000000"), "--workers"),
        (("demo", "--epochs", "0"), "--epochs"),
        (("train", "--data", "synthetic:1", "--lr", "inf"), "lr is inf"),
        (("train", "--data", "synthetic:1", "--set", "num_classes=9"), "follows from the annotations"),
    ],
    ids=" ".join,
)
def test_a_value_that_is_none_is_named(
    line: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(umbrella.VERBS[line[0]][0]).main(list(line[1:]))
    said = capfd.readouterr().err
    assert ended.value.code == 2, said
    assert told in said
    assert not list(tmp_path.iterdir())


def test_a_standard_output_that_was_closed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    assert flush_stdout() == ""


def test_a_standard_input_that_was_closed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ImageError, match="no name came on standard input"):
        open_inputs(["-"])


def test_a_link_that_leads_to_itself(
    tmp_path: Path, tiny_onnx: Path, picture_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(umbrella.VERBS["infer"][0]).main(
            [str(tiny_onnx), str(picture_file), "-o", str(tmp_path / "loop")]
        )
    said = capfd.readouterr().err
    assert ended.value.code == 2, said
    assert "loop" in said
    assert "Traceback" not in said
