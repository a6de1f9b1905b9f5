"""onnx-tensorrt's parser of 10.1, built from its source, made ready for the tests of this folder by one command.

    python -m tests.tensorrt.parsed.prepare_10 --tensorrt CLONE --onnx-tensorrt CLONE

Needs g++, protoc and protobuf's headers (apt install protobuf-compiler libprotobuf-dev) and a few minutes. The clones
are those of prepare.py; the tags are v10.1.0 and release/10.1-GA. It is the newest release of the source that the
public repository has, and stands for the closed parsers of 10.3 and later.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx

from tests.tensorrt.parsed.prepare import Environment, cached, clones, from_git

HEADERS, SOURCE = "v10.1.0", "release/10.1-GA"
LIBRARY = "lib/libnvonnxparser.so"
NOT_THE_PARSER = ("onnx_trt_backend.cpp", "getSupportedAPITest.cpp")
FROM_SOURCE = Environment(
    root=cached("onnx-tensorrt-10.1"),
    version=(10, 3),  # what `prepare` is told: the oldest of 10 that maskrt builds engines with
    needed=("include/NvOnnxParser.h", LIBRARY),
    command="python -m tests.tensorrt.parsed.prepare_10 --tensorrt CLONE --onnx-tensorrt CLONE",
)


def prepare(environment: Environment, tensorrt: Path, onnx_tensorrt: Path) -> None:
    """Fill the environment: headers, ONNX's messages as C++, the parser. It is whole once the library is there."""
    source, messages = environment.root / "source", environment.root / "messages"
    for folder in (environment.include, environment.libraries, source, messages / "onnx"):
        folder.mkdir(parents=True, exist_ok=True)
    from_git(tensorrt, HEADERS, "include", environment.root)
    from_git(onnx_tensorrt, SOURCE, "NvOnnxParser.h", environment.include)
    from_git(onnx_tensorrt, SOURCE, ".", source)
    _write_messages(messages)
    flags = [
        "-std=c++17",
        "-O0",
        "-w",
        "-fPIC",
        "-DONNX_ML=1",
        "-DONNX_NAMESPACE=onnx",
        "-DENABLE_STD_PLUGIN=1",
    ]
    stubs = Path(__file__).parent / "stubs"
    flags += [f"-I{folder}" for folder in (source, messages, stubs)] + [f"-isystem{environment.include}"]
    files = [f for f in source.glob("*.cpp") if f.name not in NOT_THE_PARSER] + list(messages.rglob("*.cc"))

    def compile_file(file: Path) -> str:
        target = environment.root / f"{file.name}.o"
        subprocess.run(["g++", *flags, "-c", str(file), "-o", str(target)], check=True)
        return str(target)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_file, files))
    empty = environment.libraries / "libnvinfer_vc_plugin.so.10"  # looked for where a graph has a RoiAlign
    subprocess.run(["gcc", "-shared", "-fPIC", "-xc", os.devnull, "-o", str(empty)], check=True)
    library = environment.root / LIBRARY
    subprocess.run(["g++", "-shared", *objects, "-o", f"{library}.new", "-l:libprotobuf.so"], check=True)
    os.replace(f"{library}.new", library)


def _write_messages(folder: Path) -> None:
    """ONNX's messages of the installed onnx as C++, whole: the parser prints them, which the lite ones cannot."""
    names = ("onnx-ml.proto", "onnx-operators-ml.proto")
    installed = Path(onnx.__file__).parent
    for name in names:
        lines = (installed / name).read_text(encoding="utf-8").splitlines()
        text = "\n".join(line for line in lines if "optimize_for" not in line)
        (folder / "onnx" / name).write_text(text, encoding="utf-8")
    shutil.copy(installed / "onnx_pb.h", folder / "onnx")
    protoc = ["protoc", f"-I{folder}", f"--cpp_out={folder}", *(f"onnx/{name}" for name in names)]
    subprocess.run(protoc, check=True)


def main() -> None:
    """Prepare it in the user's cache."""
    prepare(FROM_SOURCE, *clones(__doc__))
    print(FROM_SOURCE.lacks or f"{FROM_SOURCE.root}: ready")


if __name__ == "__main__":
    main()
