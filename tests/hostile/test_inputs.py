"""What is no file, what is too much, what was made to look like another: refused at once, in a sentence."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.runtime.backends.trt.engine_file import PREFIX
from maskrt.runtime.files.atomic import PendingFile
from maskrt.runtime.files.kinds import OWN_NAME
from tests.conftest import REPOSITORY
from tests.hostile.conftest import Refuse, coco
from tests.runtime.conftest import make_contract, tiny_model
from tests.runtime.engines import HEADER


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize(
    "line",
    [
        ("infer", "{model}", "{it}"),
        ("infer", "{it}", "{photo}"),
        ("evaluate", "{model}", "--data", "{it}"),
        ("evaluate", "{it}", "--data", "synthetic:1"),
        ("inspect-data", "{it}"),
        ("train", "--data", "{it}"),
        ("bench", "{model}", "--image", "{it}"),
        ("engine", "inspect", "{it}"),
        ("parity", "check", "{it}", "{model}"),
        ("export", "{it}"),
        ("calibrate", "{model}", "--data", "{it}"),
        ("calibrate", "{model}", "--data", "synthetic:2", "--plan", "{it}"),
        ("build", "{it}"),
        ("serve-triton", "{it}", "-o", "{folder}/repository"),
    ],
    ids=lambda line: " ".join(word for word in line if "{" not in word),
)
def test_what_has_no_end_or_waits_for_somebody_is_not_opened(
    kind: str, line: tuple[str, ...], refused: Refuse, model: Path, photo: Path, tmp_path: Path
) -> None:
    it = tmp_path / "it.mp4"
    if kind == "pipe":
        os.mkfifo(it)
    else:
        it.symlink_to("/dev/zero")
    names = {"it": it, "model": model, "photo": photo, "folder": tmp_path}

    said = refused(*(word.format(**names) for word in line))

    assert f"{it}: no file but a pipe, a socket or a device" in said


def test_one_among_the_names_on_standard_input(
    refused: Refuse, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "it.png")
    (tmp_path / "names").write_text(f"{tmp_path / 'it.png'}\n")
    with (tmp_path / "names").open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        said = refused("infer", model, "-", "-o", tmp_path / "out")
    assert "it.png: no file but a pipe" in said


def test_a_camera_s_number_that_none_has(refused: Refuse, model: Path, tmp_path: Path) -> None:
    said = refused("infer", model, "99999999999", "-o", tmp_path / "out")
    assert "99999999999: no such file, and no camera's number, which is 255 at most" in said


@pytest.mark.parametrize("verb", ["infer", "bench"])
def test_more_threads_than_any_machine_has(verb: str, refused: Refuse, model: Path, photo: Path) -> None:
    image = ("--image", photo) if verb == "bench" else (photo,)
    assert "1024" in refused(verb, model, *image, "--threads", 100_000)


def test_boxes_a_billion_times_too_large_take_no_memory(refused: Refuse, photo: Path, tmp_path: Path) -> None:
    made = tiny_model(make_contract(), box_rows=((1e8, 2e8, 6e8, 9e8),) * 3)
    made.metadata_props.add(key="maskrt.contract", value=make_contract().to_json())
    (tmp_path / "large.onnx").write_bytes(made.SerializeToString())

    said = refused("infer", tmp_path / "large.onnx", photo, "-o", tmp_path / "out")

    assert "output 'boxes' reaches to 5.76e+10 px in a picture of" in said


@pytest.mark.parametrize(
    "data", ["synthetic:1000000000000", "synthetic:" + "9" * 5000, "synthetic:1:99999999999"]
)
@pytest.mark.parametrize("verb", ["train", "evaluate", "inspect-data"])
def test_more_synthetic_images_than_anybody_waits_for(
    data: str, verb: str, refused: Refuse, model: Path, tmp_path: Path
) -> None:
    line = {
        "train": ("--data", data, "-o", tmp_path / "run"),
        "evaluate": (model, "--data", data),
        "inspect-data": (data,),
    }
    assert "expected synthetic[:COUNT[:SEED]], COUNT from 1 to 1000000" in refused(verb, *line[verb])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["--height", "--width", "--batch"])
def test_a_canvas_larger_than_memory(option: str, refused: Refuse, tmp_path: Path) -> None:
    assert "less than or equal to" in refused("export", tmp_path / "a.pt", option, 1_000_000_000)


NESTED = "[" * 100_000


@pytest.mark.parametrize("option", ["--plan", "--scales"])
def test_a_nested_plan(option: str, refused: Refuse, model: Path, tmp_path: Path) -> None:
    (tmp_path / "nested.json").write_text(NESTED)
    refused("calibrate", model, "--data", "synthetic:2", option, tmp_path / "nested.json")


def test_a_nested_contract(refused: Refuse, photo: Path, tmp_path: Path) -> None:
    made = tiny_model(make_contract())
    made.metadata_props.add(key="maskrt.contract", value=NESTED)
    (tmp_path / "nested.onnx").write_bytes(made.SerializeToString())
    said = refused("infer", tmp_path / "nested.onnx", photo, "-o", tmp_path / "out")
    assert "is not a maskrt contract" in said


@pytest.mark.parametrize(
    "change",
    [
        {"tensorrt_version": None},
        {"precision": 16},
        {"plugin_embedded": "yes"},
        {"plugin_sha256": []},
        {"profiles": None},
        {"contract": None},
        {"contract": {"format_version": 1}},
        NESTED,
    ],
    ids=lambda change: str(change)[:40],
)
def test_an_engine_s_header(change: dict[str, object] | str, refused: Refuse, tmp_path: Path) -> None:
    fields = json.loads(HEADER.to_json()) | (change if isinstance(change, dict) else {})
    text = (change if isinstance(change, str) else json.dumps(fields)).encode()
    path = tmp_path / "a.engine"
    path.write_bytes(PREFIX.pack(b"MASKRTEN", 1, len(text), 4) + text + b"ftrt")

    said = refused("engine", "inspect", path)

    assert str(path) in said
    assert "maskrt build MODEL.onnx" in said


@pytest.mark.parametrize("damage", ["missing", "empty", "scalar", "NaN"])
@pytest.mark.parametrize("name", ["images", "image_sizes", "num_detections", "boxes", "labels", "masks"])
def test_a_bundle_with_an_array_of_another_shape(
    name: str, damage: str, refused: Refuse, model: Path, photo: Path, tmp_path: Path
) -> None:
    refused("parity", "record", model, photo, "-o", tmp_path / "a.npz", code=0)
    with np.load(tmp_path / "a.npz") as stored:
        arrays = dict(stored)
    wrong = {"empty": np.zeros(0), "scalar": np.float32(1), "NaN": np.full((1, 3), np.nan, np.float32)}
    arrays.pop(f"0/{name}")
    np.savez(tmp_path / "b.npz", **arrays, **({f"0/{name}": wrong[damage]} if damage in wrong else {}))

    said = refused("parity", "check", tmp_path / "b.npz", model)

    assert f"b.npz: what it holds of {photo} is damaged ({name} is " in said
    assert "Record it again: maskrt parity record" in said


def test_what_a_killed_run_left_is_cleared_by_the_next_and_nothing_else(
    refused: Refuse, model: Path, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from maskrt.runtime.files.atomic import PendingFile\n"
        "from maskrt.runtime.files.kinds import OWN_NAME\n"
        f"PendingFile(Path({str(out / 'predictions.json')!r}), OWN_NAME)\n"
        f"PendingFile(Path({str(out / 'overlays' / 'clip.mp4')!r}), OWN_NAME)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY)
    assert killed.returncode == -9
    (left,) = out.glob(".predictions-*.json")
    (video,) = (out / "overlays").glob(".clip-*.mp4")
    live = PendingFile(out / "results.jsonl", OWN_NAME)  # of a run that goes on
    mine = out / ".predictions-abcdefgh.json"  # a user's, whatever it is for
    mine.write_text("mine")
    # Without a lock, as on some file systems: of a process that lives, and of none that this machine can have.
    unlocked = [out / f".predictions-maskrt-{pid}-abcdefgh.json" for pid in (os.getpid(), 10**30)]
    for path in unlocked:
        path.write_text("[]")

    refused("infer", model, photo, "-o", out, code=0)

    assert not left.exists()
    assert not video.exists()
    assert live.temporary.exists()
    assert all(path.exists() for path in unlocked)
    assert mine.read_text() == "mine"
    live.discard()


def test_a_refused_repository_leaves_no_folder(refused: Refuse, model: Path, tmp_path: Path) -> None:
    repository = tmp_path / "deep" / "repository"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # as on a full disk
    try:
        said = refused("serve-triton", model, "-o", repository)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"{repository}: cannot be written" in said
    assert not (tmp_path / "deep").exists()


def test_bench_looks_for_its_image_before_it_loads_a_model(refused: Refuse, tmp_path: Path) -> None:
    said = refused("bench", tmp_path / "no.onnx", "--image", tmp_path / "no.png")
    assert "no.png" in said
    assert "no.onnx" not in said


def test_a_photograph_in_the_place_of_a_mask(refused: Refuse, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        noise = np.random.default_rng(0).integers(0, 2**16, (128, 128), np.uint16)
        cv2.imwrite(str(tmp_path / folder / "a.png"), noise)
    said = refused("train", "--data", tmp_path, "-o", tmp_path / "run")
    assert "different numbers, expected at most 4096" in said


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}, "'a' of id 1 is used twice"),
        ({"categories": [{"id": 1, "name": " "}]}, "' ' of id 1 is empty"),
        ({"iscrowd": "yes"}, "'iscrowd' is 'yes', expected 0 or 1"),
    ],
)
def test_a_coco_file(
    change: dict[str, object], expected: str, refused: Refuse, model: Path, photo: Path
) -> None:
    document = coco(photo, "a")
    if "iscrowd" in change:
        document["annotations"][0] |= change
    else:
        document |= change
    path = photo.with_name("ann.json")
    path.write_text(json.dumps(document))
    trained = refused("train", "--data", path, "-o", photo.with_name("run"))
    judged = refused("calibrate", model, "--data", path)
    assert expected in trained
    assert expected in judged
    assert "--skip-bad" not in judged, "which it does not have"
    assert ("--skip-bad" in trained) == ("iscrowd" in change)


@pytest.mark.parametrize("name", ["best.pt", "last.pt"])
def test_a_trained_model_in_the_folder_of_a_run(name: str, refused: Refuse, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("archive/data.pkl", b"trained for days")
    before = (tmp_path / name).read_bytes()

    said = refused("train", "--data", "synthetic:2", "-o", tmp_path)

    assert f"{tmp_path / name}: the folder holds a trained model" in said
    assert "--overwrite" in said
    assert (tmp_path / name).read_bytes() == before


def test_a_demo_among_somebody_s_pictures(refused: Refuse, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    mine = photo.rename(tmp_path / "images" / "000.png")
    before = mine.read_bytes()

    said = refused("demo", "-o", tmp_path)

    assert f"{mine}: no image of the demo" in said
    assert mine.read_bytes() == before
