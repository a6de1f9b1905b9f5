"""The real Python bindings of each supported TensorRT, without TensorRT: what they define, as names.

The wheels of the bindings hold the module alone (about 1 MB). It is linked against TensorRT's libraries, of which
it takes about nine functions; over stub libraries that define these it imports, and its classes can be looked at.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

Version = tuple[int, int, int]
WHEELS: dict[Version, str] = {  # the public index has the bindings of 8.6.1 alone, not of 8.6.0
    (8, 6, 1): "tensorrt-bindings==8.6.1",
    (10, 3, 0): "tensorrt-cu12-bindings==10.3.0",
    (10, 13, 3): "tensorrt-cu12-bindings==10.13.3.9",
    (11, 4, 0): "tensorrt-cu12-bindings==11.4.0.106",
}
NEWEST = max(WHEELS)

LIST_NAMES = """
import json, sys
import tensorrt_bindings as trt
names = {name: sorted(dir(getattr(trt, name))) for name in dir(trt) if isinstance(getattr(trt, name), type)}
json.dump({"version": trt.__version__, "module": sorted(dir(trt)), "classes": names}, sys.stdout)
"""


@dataclass(frozen=True)
class Api:
    """Names that a version's bindings define."""

    version: str
    module: frozenset[str]
    classes: dict[str, frozenset[str]]


def read_api(version: Version) -> Api:
    """The names in the bindings of `version`; skips the test where they cannot be had or stubbed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    folder = cache / "maskrt" / "tests" / f"{WHEELS[version].replace('==', '-')}-{python}"
    listing = folder / "names.json"
    if not listing.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _download(version, folder)
        _stub_libraries(folder)
        temporary = listing.with_suffix(f".{os.getpid()}")
        temporary.write_text(_list_names(folder))
        temporary.replace(listing)
    names = json.loads(listing.read_text())
    return Api(
        names["version"],
        frozenset(names["module"]),
        {name: frozenset(members) for name, members in names["classes"].items()},
    )


def _download(version: Version, folder: Path) -> None:
    download = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", folder]
    done = subprocess.run([*download, WHEELS[version]], capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip() or "nothing was downloaded").splitlines()[-1]
        pytest.skip(f"{WHEELS[version]} cannot be had for this Python: {reason}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(folder)


def _stub_libraries(folder: Path) -> None:
    """Empty libraries of the names that the module is linked against; the first defines what it lacks."""
    if shutil.which("gcc") is None or shutil.which("readelf") is None:
        pytest.skip("stub libraries need gcc and readelf")
    module = folder / "tensorrt_bindings" / "tensorrt.so"
    table = subprocess.run(
        ["readelf", "--dynamic", "--dyn-syms", "--wide", str(module)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    libraries = [name for name in re.findall(r"\(NEEDED\).*\[(\S+)\]", table) if name.startswith("libnv")]
    symbols = re.findall(r"GLOBAL\s+DEFAULT\s+UND\s+(\S+)$", table, re.MULTILINE)
    wanted = [s for s in symbols if "INTERNAL" in s or "Nv" in s or "PluginRegistry" in s or "parser" in s]
    for number, library in enumerate(libraries):
        source = folder / f"{library}.c"
        source.write_text(
            "".join(f"void* {s}(void) {{ return 0; }}\n" for s in wanted) if number == 0 else ""
        )
        flags = ["-shared", "-fPIC", f"-Wl,-soname,{library}"]
        subprocess.run(["gcc", *flags, "-o", str(folder / library), str(source)], check=True)


def _list_names(folder: Path) -> str:
    environment = os.environ | {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", LIST_NAMES], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
