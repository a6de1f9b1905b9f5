"""The machine code of a compiled kernel, as NVIDIA's nvdisasm (a pip package of 5 MB) prints it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

PACKAGE = "nvidia-cuda-nvdisasm"
INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]+)\*/\s+(.*?)\s*;", re.MULTILINE)
LABEL = re.compile(r"^(\.L_x_\d+):", re.MULTILINE)
REGISTERS = re.compile(r"EIATTR_REGCOUNT.*?index@\((\w+)\)\n.*?\.word\s+(0x\w+)", re.DOTALL)
KERNEL = re.compile(r"^//-+ \.text\.(\w+) +-+$", re.MULTILINE)


@dataclass(frozen=True)
class Kernel:
    """Registers of a thread, and (address, instruction) in the order of addresses, with the address of each label."""

    registers: int
    code: list[tuple[int, str]]
    labels: dict[str, int]

    def loops(self) -> list[range]:
        """The addresses of every loop: from where a branch jumps back to, to that branch."""
        found = []
        for address, text in self.code:
            target = re.search(r"\bBRA\b.*`\((\.L_x_\d+)\)", text)
            if target and (start := self.labels[target[1]]) <= address:
                found.append(range(start, address + 1))
        return found

    def innermost_loops(self) -> list[range]:
        """Those that have no other within."""
        loops = self.loops()
        return [a for a in loops if not any(b.start in a and b[-1] in a and b != a for b in loops)]

    def has(self, names: str, within: range) -> bool:
        """Whether an instruction whose name is one of these ("LDG|STG") lies at these addresses."""
        return any(a in within and re.search(rf"\b({names})\b", text) for a, text in self.code)


def disassembler() -> Path:
    """The program nvdisasm of the pip package; a skip that says how to come by it."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        pytest.skip(f"nvdisasm is not installed: pip install {PACKAGE}")
    (program,) = (Path(f.locate()) for f in files if f.name == "nvdisasm")
    return program


def kernels_of(cubin: bytes, folder: Path) -> dict[str, Kernel]:
    """Every kernel of a cubin, by its name."""
    path = folder / "kernels.cubin"
    path.write_bytes(cubin)
    text = subprocess.run([str(disassembler()), str(path)], capture_output=True, text=True, check=True).stdout
    registers = {name: int(count, 16) for name, count in REGISTERS.findall(text)}
    _, *parts = KERNEL.split(text)  # name, its text, the next name, ...
    kernels = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        code = [(int(m[1], 16), m.start(), m[2]) for m in INSTRUCTION.finditer(body)]
        labels = {m[1]: next((a for a, at, _ in code if at > m.start()), -1) for m in LABEL.finditer(body)}
        kernels[name] = Kernel(registers[name], [(a, t) for a, _, t in code], labels)
    return kernels
