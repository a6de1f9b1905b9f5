"""Inspects the processor: its cores, and its instructions for narrow types."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from maskrt.runtime.machine.findings import Finding

CPUINFO = Path("/proc/cpuinfo")
# Flags as Linux names them (arch/x86/include/asm/cpufeatures.h, arch/arm64/kernel/cpuinfo.c).
WIDE = {"avx2": "AVX2", "avx512f": "AVX-512", "asimd": "NEON", "sve": "SVE"}
EIGHT_BITS = {
    "amx_int8": "AMX",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX-VNNI",
    "i8mm": "I8MM",
    "asimddp": "dot product",
}
BRAIN_FLOATS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16", "bf16": "Arm BF16"}


def cpu_findings() -> list[Finding]:
    """Findings on the processor, and on its instructions for INT8 and bf16."""
    flags = read_flags()
    return [_cores(flags), _eight_bits(flags), _brain_floats(flags)]


def read_flags() -> set[str]:
    """Read the first core's flags, as Linux lists them; empty on other systems."""
    if CPUINFO.is_file():
        for line in CPUINFO.read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return set(line.split(":", 1)[1].split())
    return set()


def _named(names: dict[str, str], flags: set[str]) -> str:
    return ", ".join(name for flag, name in names.items() if flag in flags)


def _cores(flags: set[str]) -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wide = _named(WIDE, flags) or "no vector extensions known"
    return Finding(
        "CPU",
        True,
        f"{platform.machine()}, {cores} core{'s' if cores > 1 else ''}, {wide}",
        meaning=f"models take all {cores} unless --threads says less" if cores > 1 else "one core does all",
    )


def _eight_bits(flags: set[str]) -> Finding:
    found = _named(EIGHT_BITS, flags)
    if not found:
        return Finding(
            "INT8 on the CPU",
            False,
            "neither VNNI nor AMX, nor Arm's dot product",
            "Run FP32 or FP16 files here: INT8 is hardly faster, and sums of U8S8 products may saturate",
        )
    return Finding(
        "INT8 on the CPU",
        True,
        found,
        meaning="INT8 files run faster than FP32 here: maskrt calibrate MODEL.onnx",
    )


def _brain_floats(flags: set[str]) -> Finding:
    found = _named(BRAIN_FLOATS, flags)
    if not found:
        return Finding(
            "bf16 on the CPU",
            False,
            "no instructions for it",
            "Nothing to do: only --backend openvino-bf16 asks for it",
        )
    return Finding(
        "bf16 on the CPU", True, found, meaning="FP32 files may run in it: --backend openvino-bf16"
    )
