"""The umbrella command and the help of every verb."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import maskrt
import maskrt.__main__ as umbrella
from maskrt.runtime.commands.program import Program
from maskrt.runtime.packages import install

PYPROJECT = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8")
SCREEN_LINES, SCREEN_COLUMNS = 50, 100


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": str(SCREEN_COLUMNS), "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-m", "maskrt", *arguments], capture_output=True, text=True, env=environment
    )


@pytest.mark.parametrize("verb", sorted(umbrella.VERBS))
def test_help_of_every_verb_fits_a_screen_and_shows_an_example(verb: str) -> None:
    done = run(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: maskrt {verb}" in done.stdout
    assert f"Example: maskrt {verb}" in done.stdout
    assert len(done.stdout.splitlines()) <= SCREEN_LINES


def test_the_umbrella_lists_every_verb_without_importing_a_stage() -> None:
    code = (
        "import sys, maskrt.__main__ as umbrella\n"
        "try: umbrella.app(['--help'], prog_name='maskrt')\n"
        "except SystemExit: pass\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'torch', 'numpy', 'cv2', 'onnxruntime', 'lightning', 'onnx'} | {m for m in sys.modules if m.startswith('maskrt.')} - {'maskrt.__main__'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    for verb in umbrella.VERBS:
        assert f" {verb} " in done.stdout


WITHOUT = """
import contextlib, importlib.abc, io, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Block())
import maskrt.__main__ as umbrella
"""
CORE = {"maskrt", "numpy", "cv2", "rich", "typer"}


def test_help_of_every_verb_needs_the_core_alone() -> None:
    """In one process: what is blocked is every package that any extra brings."""
    names = re.findall(r'"([A-Za-z0-9-]+)[\[>=]', PYPROJECT.split("[project.optional-dependencies]")[1])
    imported = {"pillow": "PIL", "pyyaml": "yaml", "cuda-python": "cuda", "onnxruntime-gpu": "onnxruntime"}
    blocked = {imported.get(name, name) for name in names} - CORE
    assert {"torch", "onnx", "onnxruntime", "PIL", "yaml", "pycocotools", "tensorrt"} <= blocked
    code = WITHOUT.format(blocked=blocked) + (
        "for verb in umbrella.VERBS:\n"
        "    sys.argv = ['maskrt', verb, '--help']\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "        try: umbrella.main()\n"
        "        except SystemExit as end: assert not end.code, verb\n"
        "    assert f'Usage: maskrt {verb}' in out.getvalue(), verb\n"
        "print('all')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "all", done.stderr


def test_opencv_that_is_not_there_is_told_as_on_a_jetson() -> None:
    code = (
        WITHOUT.format(blocked={"cv2"})
        + "sys.argv = ['maskrt', 'infer', 'a.engine', 'b.png']; umbrella.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "maskrt infer: this needs OpenCV's Python package (cv2). On a Jetson it comes"
    )
    assert len(done.stderr.splitlines()) == 1


def said_by_the_umbrella(capfd: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    """Exit code and standard output of the umbrella in this process; nothing may be said on stderr."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["maskrt", *args])
        with pytest.raises(SystemExit) as ended:
            umbrella.main()
    out, err = capfd.readouterr()
    assert not err
    return int(ended.value.code or 0), out


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("maskrt se", {"serve-triton"}),
        ("maskrt evaluate --class-", {"--class-name", "--class-attribute"}),
        ("maskrt train --dat", {"--data"}),
        ("maskrt engine u", {"unpack"}),
        ("maskrt engine unpack m.engine --ou", {"--output"}),
        ("maskrt parity re", {"record"}),
        ("maskrt parity --da", {"--data"}),
        ("maskrt parity best.pt m.onnx --cla", {"--class-name"}),
        ("maskrt parity record --he", {"--height", "--help"}),
        ("maskrt infer mod", set()),  # the shell's own: names of files
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_verbs_and_their_options(
    shell: str,
    line: str,
    offered: set[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The protocol that the shells' scripts speak: the line in variables, what fits on standard output."""
    monkeypatch.setenv("_MASKRT_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", line)  # bash
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)  # zsh, fish
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")

    code, said = said_by_the_umbrella(capfd)

    patterns = {"bash": r"^(\S+)$", "zsh": r'^(?:_arguments .*\(\()?"(.+?)"', "fish": r"^(\S+)"}
    assert code == 0
    if shell == "zsh" and not offered:
        assert said.strip() == "_files"
    else:
        assert set(re.findall(patterns[shell], said, re.MULTILINE)) == offered


def test_a_verb_whose_package_is_missing_is_not_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "maskrt.calibration.decide.bisection", None)
    parser = importlib.import_module(umbrella.VERBS["parity"][0]).main.parser()
    context = parser.make_context("parity", [], resilient_parsing=True)

    assert {item.value for item in parser.shell_complete(context, "")} == {"compare", "record", "check"}


@pytest.mark.parametrize(
    ("shell", "script"),
    [
        ("bash", ".bash_completions/maskrt.sh"),
        ("zsh", ".zfunc/_maskrt"),
        ("fish", ".config/fish/completions/maskrt.fish"),
    ],
)
def test_completion_is_shown_and_installed_for_the_shell_that_asks(
    shell: str,
    script: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")

    code, shown = said_by_the_umbrella(capfd, "--show-completion", shell)
    assert code == 0
    assert f"_MASKRT_COMPLETE=complete_{shell}" in shown
    assert said_by_the_umbrella(capfd, "--install-completion", shell)[0] == 0

    assert (tmp_path / script).read_text(encoding="utf-8").strip() == shown.strip()


def test_version() -> None:
    assert run("--version").stdout.strip() == maskrt.__version__


def test_a_missing_stage_is_told_with_its_extra() -> None:
    code = (
        "import sys, maskrt.__main__ as umbrella\n"
        "sys.modules['lightning'] = None\n"
        "sys.argv = ['maskrt', 'train', '--data', 'x']\n"
        "umbrella.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs the package 'lightning'" in done.stderr
    assert f"Install it: {install('train')}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["a line", "more than a buffer holds"])
def test_a_reader_of_standard_output_that_went_away_is_told_of(
    size: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As of `maskrt parity --json | head`: what is printed may be larger than what Python keeps back."""

    def command() -> None:
        print("x" * size)

    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr("sys.stdout", os.fdopen(writer, "w"))

    with pytest.raises(SystemExit) as ended:
        Program("maskrt parity", command)([])

    assert ended.value.code == 2
    said = capfd.readouterr().err
    assert said == "maskrt parity: standard output: Broken pipe. What was printed is not whole.\n"
