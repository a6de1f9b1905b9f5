from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from maskrt.runtime.backends.trt import device
from maskrt.runtime.backends.trt.device import Gpu
from maskrt.runtime.doctor import PACKAGES, examine, main, verdicts
from maskrt.runtime.machine import findings_cpu, findings_gpu
from maskrt.runtime.machine.findings import Finding
from maskrt.runtime.packages import install

Run = Callable[..., Any]
STAGES = (
    "train",
    "export",
    "calibrate",
    "build",
    "infer (.onnx)",
    "infer (.onnx, OpenVINO)",
    "infer (.engine)",
    "infer --ray",
    "evaluate (.onnx)",
    "parity (.pt against .onnx)",
)
ENGINES = ("build", "infer (.engine)")
NEEDED = {
    "torch": ("train", "export", "parity (.pt against .onnx)"),
    "lightning": ("train",),
    "onnxscript": ("export",),
    "onnxruntime": ("calibrate", "infer (.onnx)", "evaluate (.onnx)", "parity (.pt against .onnx)"),
    "pycocotools": ("train", "evaluate (.onnx)"),
    "openvino": ("infer (.onnx, OpenVINO)",),
    "ray": ("infer --ray",),
    "scipy": (
        "calibrate",
        "parity (.pt against .onnx)",
    ),
}
LOADED = "; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})), file=sys.stderr)"


def test_prints_json(command: Run) -> None:
    ended = command(main, "--json")

    facts = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert tuple(facts["stages"]) == STAGES
    findings = {f["subject"]: f for f in facts["findings"]}
    assert findings["Python"]["usable"] is True
    assert re.search(r"\d cores?\b", findings["CPU"]["found"])
    for package in NEEDED:
        assert findings[package]["usable"] is True, "this environment has what the tests import"
    for stage in ENGINES:
        assert facts["stages"].pop(stage) is (findings["tensorrt"]["usable"] and findings["CUDA"]["usable"])
    assert all(facts["stages"].values())


def test_prints_a_table(command: Run) -> None:
    ended = command(main)

    assert (ended.code, ended.err) == (0, "")
    assert all(stage in ended.out for stage in STAGES)


def test_whatever_is_missing_has_a_remedy_and_what_is_there_a_meaning() -> None:
    for finding in examine():
        assert finding.meaning if finding.usable else finding.remedy, finding


@pytest.mark.parametrize("package", NEEDED)
def test_says_what_cannot_run_without_a_package(package: str, without: Run) -> None:
    ended = without({package}, "maskrt.runtime.doctor", "--json")

    assert ended.code == 0, ended.err
    facts = json.loads(ended.out)
    (finding,) = (f for f in facts["findings"] if f["subject"] == package)
    assert finding["usable"] is False
    assert finding["remedy"] in {install(extra) for _, _, extra in PACKAGES.values()}
    for engines in ENGINES:  # hang on the machine
        del facts["stages"][engines]
    assert [stage for stage, works in facts["stages"].items() if not works] == list(NEEDED[package])


def test_never_imports_what_is_heavy(without: Run) -> None:
    code = "import json; from maskrt.runtime.doctor import examine; examine()" + LOADED

    ended = without(set(), code=code)

    loaded = set(json.loads(ended.err.splitlines()[-1]))
    assert "onnxruntime" in loaded, "the control: it does look"
    assert not loaded & {"torch", "torchvision", "lightning", "onnx", "onnxscript", "scipy", "tensorrt"}


def test_verdicts_follow_the_findings_alone() -> None:
    assert verdicts([]) == dict.fromkeys(STAGES, False)
    assert verdicts([Finding("onnxruntime", True, "1.31")])["infer (.onnx)"] is True
    assert verdicts([Finding("onnxruntime", False, "none")])["infer (.onnx)"] is False


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux tells which cores a process may use")
@pytest.mark.parametrize(
    ("cores", "found", "meaning"),
    [
        ({3}, "1 core,", "one core does all"),
        ({0, 1}, "2 cores,", "models take all 2 unless --threads says less"),
    ],
)
def test_the_cores_that_a_process_may_use_are_counted(
    cores: set[int], found: str, meaning: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)

    (cpu,) = (finding for finding in findings_cpu.cpu_findings() if finding.subject == "CPU")

    assert found in cpu.found
    assert cpu.meaning == meaning


@pytest.mark.parametrize("missing", ["tensorrt", "CUDA"])
def test_engines_need_tensorrt_and_a_gpu_that_answers(missing: str) -> None:
    both = [Finding("tensorrt", True, "10.3.0"), Finding("CUDA", True, "Orin"), Finding("onnx", True, "1.20")]

    without = verdicts([f for f in both if f.subject != missing])
    for stage in ENGINES:
        assert (verdicts(both)[stage], without[stage]) == (True, False)


def test_a_machine_without_cuda_python_is_told_so(without: Run) -> None:
    facts = json.loads(without({"cuda"}, "maskrt.runtime.doctor", "--json").out)

    (cuda,) = (f for f in facts["findings"] if f["subject"] == "CUDA")
    assert (cuda["usable"], cuda["remedy"]) == (False, "pip install cuda-python")


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Puts a program of the system on the PATH: its name, and the shell commands that it is."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def put(name: str, commands: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{commands}\n")
        (tmp_path / name).chmod(0o755)

    return put


def found(subject: str) -> Finding:
    return next(finding for finding in examine() if finding.subject == subject)


def test_the_gpu_s_trouble_is_told_not_raised(tool: Callable[[str, str], None]) -> None:
    tool("nvidia-smi", "echo 'NVIDIA-SMI has failed' >&2\nexit 9")

    gpu = found("GPU")

    assert gpu.usable is False
    assert gpu.found == "nvidia-smi failed"
    assert "NVIDIA driver" in gpu.remedy


def test_a_machine_without_the_tools_of_a_gpu_is_told_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(findings_gpu, "TEGRA_RELEASE", tmp_path / "no release file of a Jetson")
    monkeypatch.setattr(findings_gpu, "NVCC", ("nvcc",))

    findings = {finding.subject: finding for finding in findings_gpu.gpu_findings(None)}

    assert list(findings) == ["GPU", "CUDA", "nvcc", "TensorRT plugins"]
    assert not any(findings[subject].usable for subject in ("GPU", "nvcc", "TensorRT plugins"))
    assert findings["GPU"].found == "no nvidia-smi on the PATH"
    assert findings["nvcc"].found == "no CUDA compiler"
    assert "MASKRT_PLUGINS=python" in findings["nvcc"].remedy
    assert findings["TensorRT plugins"].found == "no TensorRT whose version is known"


def test_a_compiler_is_named_by_its_release(tool: Callable[[str, str], None]) -> None:
    tool("nvcc", "echo 'Cuda compilation tools, release 12.6, V12.6.68'")

    assert (found("nvcc").usable, found("nvcc").found) == (True, "CUDA 12.6")


@pytest.mark.parametrize(
    ("capability", "meaning"),
    [
        ("8.9", "FP16 and INT8 run on tensor cores"),
        ("7.2", "FP16 and INT8 run on tensor cores"),
        ("7.0", "no tensor cores for INT8"),
    ],
)
def test_every_gpu_is_named_with_what_it_can(
    capability: str, meaning: str, tool: Callable[[str, str], None]
) -> None:
    tool(
        "nvidia-smi",
        f"echo 'NVIDIA A, 570.86, 24564 MiB, {capability}'\necho 'NVIDIA B, 570.86, 8192 MiB, 8.6'",
    )

    first, second = (finding for finding in examine() if finding.subject == "GPU")

    assert first.found == f"NVIDIA A, 570.86, 24564 MiB, {capability}"
    assert first.meaning.startswith(meaning)
    assert second.found.startswith("NVIDIA B")
    assert found("driver").found == "570.86"


def test_the_memory_of_the_gpu_is_told_in_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu("NVIDIA A", "8.9", "12.6", "12.8", memory_bytes=24 << 30, free_bytes=41 << 29)
    monkeypatch.setattr(device, "describe_gpu", lambda: gpu)

    said = found("CUDA")

    assert said.found == (
        "NVIDIA A, compute capability 8.9, driver for CUDA 12.8, cuda-python 12.6, 20.5 of 24.0 GiB free"
    )
    assert said.meaning == "engines can run; a build takes half of the 20.5 GiB at most"


@pytest.mark.parametrize(("mode", "fastest"), [("MAXN_SUPER", True), ("15W", False)])
def test_a_jetson_tells_its_jetpack_and_power_mode(
    mode: str,
    fastest: bool,
    tool: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """As NVIDIA's tools print it on JetPack 6 (their documentation); none was here to ask."""
    release = tmp_path / "nv_tegra_release"
    release.write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n")
    monkeypatch.setattr(findings_gpu, "TEGRA_RELEASE", release)
    tool("dpkg-query", "printf 6.2+b77")
    tool("nvpmodel", f"echo 'NV Power Mode: {mode}'\necho 2")

    power = found("power mode")

    assert found("GPU").found == "Jetson, L4T 36.4.3"
    assert found("JetPack").found == "6.2+b77"
    assert (power.found, power.usable) == (mode, fastest)
    assert ("jetson_clocks" in power.meaning) if fastest else ("nvpmodel -m" in power.remedy)


def test_jetpack_5_is_said_to_be_too_old(
    monkeypatch: pytest.MonkeyPatch, tool: Callable[[str, str], None], tmp_path: Path
) -> None:
    (tmp_path / "release").write_text("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref\n")
    monkeypatch.setattr(findings_gpu, "TEGRA_RELEASE", tmp_path / "release")
    tool("dpkg-query", "printf 5.1.2-b104")
    tool("nvpmodel", "exit 1")

    assert (found("power mode").usable, found("power mode").found) == (False, "nvpmodel does not say")
    assert found("JetPack").usable is False
    assert found("JetPack").found.startswith("5.1.2-b104, whose TensorRT (8.5 at most)")
    assert "docs/jetson.md" in found("JetPack").remedy


@pytest.mark.parametrize("gstreamer", [True, False])
def test_a_jetson_tells_whether_its_opencv_has_gstreamer(
    gstreamer: bool, monkeypatch: pytest.MonkeyPatch, tool: Callable[[str, str], None], tmp_path: Path
) -> None:
    (tmp_path / "release").write_text("# R36 (release), REVISION: 4.3\n")
    monkeypatch.setattr(findings_gpu, "TEGRA_RELEASE", tmp_path / "release")
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda backend: gstreamer)
    tool("dpkg-query", "printf 6.2+b77")
    tool("nvpmodel", "exit 1")

    assert found("OpenCV").usable is gstreamer
    assert ("csi://0" in found("OpenCV").meaning) is gstreamer
    assert ("libopencv-python" in found("OpenCV").remedy) is not gstreamer


def test_a_jetson_without_jetpack_s_tools_is_told_so(
    monkeypatch: pytest.MonkeyPatch, tool: Callable[[str, str], None], tmp_path: Path
) -> None:
    (tmp_path / "release").write_text("something else")
    monkeypatch.setattr(findings_gpu, "TEGRA_RELEASE", tmp_path / "release")
    tool("dpkg-query", "exit 1")
    tool("nvpmodel", "exit 1")

    assert found("JetPack").remedy == "sudo apt install nvidia-jetpack"
    assert found("power mode").usable is False


@pytest.mark.parametrize(
    ("flags", "eight_bits", "brain_floats"),
    [
        ("flags : fpu avx2 avx512f avx512_vnni avx512_bf16", "AVX-512 VNNI", "AVX-512 BF16"),
        ("flags : avx512f amx_tile amx_int8 amx_bf16 avx512_vnni", "AMX, AVX-512 VNNI", "AMX"),
        ("Features : fp asimd asimddp", "dot product", None),
        ("flags : fpu sse2", None, None),
    ],
    ids=["Zen 4", "Sapphire Rapids", "Orin", "old"],
)
def test_what_the_processor_has_for_narrow_types(
    flags: str,
    eight_bits: str | None,
    brain_floats: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    monkeypatch.setattr(findings_cpu, "CPUINFO", tmp_path / "cpuinfo")

    for subject, expected in (("INT8 on the CPU", eight_bits), ("bf16 on the CPU", brain_floats)):
        finding = found(subject)
        assert finding.usable is (expected is not None)
        assert expected is None or finding.found == expected


def test_nvcc_s_version_is_read(tool: Callable[[str, str], None]) -> None:
    tool("nvcc", "echo 'Cuda compilation tools, release 12.6, V12.6.68'")

    assert found("nvcc").found == "CUDA 12.6"
