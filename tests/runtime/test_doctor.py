from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from runtime.doctor import Finding, examine, main, verdicts

Run = Callable[..., Any]
STAGES = (
    "train",
    "export",
    "infer (.onnx)",
    "infer (.engine)",
    "evaluate (.onnx)",
    "parity (.pt against .onnx)",
)
NEEDED = {
    "torch": ("train", "export", "parity (.pt against .onnx)"),
    "lightning": ("train",),
    "onnxscript": ("export",),
    "onnxruntime": ("infer (.onnx)", "evaluate (.onnx)", "parity (.pt against .onnx)"),
    "pycocotools": ("train", "evaluate (.onnx)"),
    "scipy": ("parity (.pt against .onnx)",),
}
LOADED = "; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})), file=sys.stderr)"


def test_prints_json(command: Run) -> None:
    ended = command(main, "--json")

    facts = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert tuple(facts["stages"]) == STAGES
    findings = {f["subject"]: f for f in facts["findings"]}
    assert findings["Python"]["usable"] is True
    assert "cores" in findings["CPU"]["found"]
    for package in NEEDED:
        assert findings[package]["usable"] is True, "this environment has what the tests import"
    engines = facts["stages"].pop("infer (.engine)")
    assert engines is (findings["tensorrt"]["usable"] and findings["CUDA"]["usable"])
    assert all(facts["stages"].values())


def test_prints_a_table(command: Run) -> None:
    ended = command(main)

    assert (ended.code, ended.err) == (0, "")
    assert all(stage in ended.out for stage in STAGES)


def test_whatever_is_missing_has_a_remedy() -> None:
    missing = [f for f in examine() if not f.usable]

    assert all(f.remedy for f in missing), missing


@pytest.mark.parametrize("package", NEEDED)
def test_says_what_cannot_run_without_a_package(package: str, without: Run) -> None:
    ended = without({package}, "runtime.doctor", "--json")

    assert ended.code == 0, ended.err
    facts = json.loads(ended.out)
    (finding,) = (f for f in facts["findings"] if f["subject"] == package)
    assert finding["usable"] is False
    assert finding["remedy"].startswith("pip install 'maskrt[")
    del facts["stages"]["infer (.engine)"]  # hangs on the machine
    assert [stage for stage, works in facts["stages"].items() if not works] == list(NEEDED[package])


def test_never_imports_what_is_heavy(without: Run) -> None:
    code = "import json; from runtime.doctor import examine; examine()" + LOADED

    ended = without(set(), code=code)

    loaded = set(json.loads(ended.err.splitlines()[-1]))
    assert "onnxruntime" in loaded, "the control: it does look"
    assert not loaded & {"torch", "torchvision", "lightning", "onnx", "onnxscript", "scipy", "tensorrt"}


def test_verdicts_follow_the_findings_alone() -> None:
    assert verdicts([]) == dict.fromkeys(STAGES, False)
    assert verdicts([Finding("onnxruntime", True, "1.31")])["infer (.onnx)"] is True
    assert verdicts([Finding("onnxruntime", False, "none")])["infer (.onnx)"] is False


@pytest.mark.parametrize("missing", ["tensorrt", "CUDA"])
def test_engines_need_tensorrt_and_a_gpu_that_answers(missing: str) -> None:
    both = [Finding("tensorrt", True, "10.3.0"), Finding("CUDA", True, "Orin")]

    assert verdicts(both)["infer (.engine)"] is True
    assert verdicts([f for f in both if f.subject != missing])["infer (.engine)"] is False


def test_a_machine_without_cuda_python_is_told_so(without: Run) -> None:
    facts = json.loads(without({"cuda"}, "runtime.doctor", "--json").out)

    (cuda,) = (f for f in facts["findings"] if f["subject"] == "CUDA")
    assert (cuda["usable"], cuda["remedy"]) == (False, "pip install cuda-python")


def test_the_gpu_s_trouble_is_told_not_raised(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed' >&2\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    (gpu,) = (f for f in examine() if f.subject == "GPU")

    assert gpu.usable is False
    assert "nvidia-smi failed" in gpu.found
    assert "NVIDIA driver" in gpu.remedy
