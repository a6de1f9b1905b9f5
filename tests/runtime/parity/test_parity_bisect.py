"""Which layers must go back to float32: faults planted in reduced precision, named by bisecting."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from benchmarks.samples import scene
from maskrt.calibration import calibrate
from maskrt.calibration.decide.bisection import smallest
from maskrt.calibration.decide.candidate import put_contract, read_model
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import TENSORRT
from maskrt.calibration.rewrite.equalise import EqualiseLayers
from maskrt.calibration.rewrite.placement import place
from maskrt.calibration.rewrite.qdq import Quantise
from maskrt.calibration.rewrite.restore import reduced_units, return_to_float32
from maskrt.runtime.files.atomic import write_png
from maskrt.runtime.packages import install
from maskrt.runtime.parity.command import main
from tests.calibration.graphs import parse, quantised, run
from tests.runtime.bisected import (
    BLOCKS,
    LAYERS,
    in_eight_bits,
    in_half,
    network,
    residual_graph,
    scales_swapped,
)
from tests.runtime.conftest import make_contract
from tests.runtime.faults import constant, set_constant

Run = Callable[..., Any]
PAST_HALF = 1e6  # on weights of about 0.15: they and the sums of them pass 65504


@pytest.mark.parametrize("needed", [[], [0], [11], [5], [4, 5], [0, 11], [2, 7, 9], list(range(12))], ids=str)
def test_the_search_finds_what_is_needed_in_few_trials(needed: list[int]) -> None:
    units, trials = [str(i) for i in range(12)], []

    def passes(float32: list[str]) -> bool:
        trials.append(float32)
        return {str(i) for i in needed} <= set(float32)

    assert smallest(units, passes) == [str(i) for i in needed]
    assert len(trials) <= len(needed) * (math.ceil(math.log2(12)) + 1) + 1


def test_either_of_two_that_mend_is_enough() -> None:
    found = smallest(["a", "b", "c", "d"], lambda float32: "b" in float32 or "d" in float32)

    assert found == ["b"]


@pytest.mark.parametrize("flavour", ["cpu", "tensorrt"])
def test_with_every_layer_back_an_int8_file_is_the_float32_one(flavour: str) -> None:
    model = residual_graph()
    int8 = quantised(model, flavour)
    units = reduced_units(int8)

    assert units == ["one", "two", "three"]
    np.testing.assert_array_equal(run(return_to_float32(int8, model, units)), run(model))
    np.testing.assert_array_equal(run(return_to_float32(int8, model, [])), run(int8))


@pytest.mark.parametrize("flavour", ["cpu", "tensorrt"])
@pytest.mark.parametrize("layer", ["one", "two", "three"])
def test_a_layer_that_went_back_has_no_pair_left(layer: str, flavour: str) -> None:
    model = residual_graph()
    back = return_to_float32(quantised(model, flavour), model, [layer])

    onnx.checker.check_model(back, full_check=True)
    graph = Graph(back.graph)
    assert layer not in reduced_units(back)
    (node,) = (n for n in back.graph.node if n.op_type == "Conv" and n.input[1].startswith(f"{layer}."))
    assert not [name for name in node.input if name in graph.producer and "quant" in name]
    assert 0 < np.abs(run(back) - run(model)).max() < np.abs(run(model)).max() / 10


def test_an_int8_file_over_half_with_a_layer_back_is_valid_onnx() -> None:
    """Its file lists the types of its weights too, as an export does; scales in half are no unit."""
    layers = ("mask_head.0", "mask_head.1")
    shapes = {f"{layer}.weight": (4, 4, 1, 1) for layer in layers}

    def two_layers(head: str, tail: str, dtype: type) -> ModelProto:
        return parse(
            f"""float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y {{
                {head}
                c = Conv <kernel_shape = [1, 1]> (h, mask_head_0_weight)
                r = Relu (c)
                d = Conv <kernel_shape = [1, 1]> (r, mask_head_1_weight)
                {tail}
            }}""",
            shapes,
            dtype=dtype,
        )

    reference = two_layers("h = Identity (x)", "y = Identity (d)", np.float32)
    int8 = two_layers("h = Cast <to = 10> (x)", "y = Cast <to = 1> (d)", np.float16)
    int8 = onnx.shape_inference.infer_shapes(int8)
    for name, shape in shapes.items():
        int8.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape))
    placement = place(Graph(int8.graph), list(layers), TENSORRT)
    Quantise(placement, dict.fromkeys(placement.scale_groups, (-8.0, 8.0)))(int8)

    assert reduced_units(int8) == list(layers)
    back = return_to_float32(int8, reference, ["mask_head.0"])
    onnx.checker.check_model(back, full_check=True)
    assert reduced_units(back) == ["mask_head.1"]


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., list[Path]]:
    """The float32 file, the candidate and a folder with a picture: the arguments of the command."""

    def write(model: ModelProto, candidate: ModelProto) -> list[Path]:
        onnx.save_model(model, tmp_path / "model.onnx")
        onnx.save_model(candidate, tmp_path / "candidate.onnx")
        write_png(tmp_path / "images" / "a.png", scene(1))
        return [tmp_path / "model.onnx", tmp_path / "candidate.onnx", tmp_path / "images"]

    return write


@pytest.mark.parametrize("faulty", [LAYERS[:1], LAYERS[3:4], LAYERS[5:], [LAYERS[1], LAYERS[4]]], ids=str)
def test_exactly_the_layers_with_a_wrong_scale_are_named(
    faulty: list[str], files: Callable[..., list[Path]], command: Run, tmp_path: Path
) -> None:
    model = network()
    candidate = in_eight_bits(model, scene(1))
    for layer in faulty:
        scales_swapped(candidate, layer)
    arguments = files(model, candidate)
    assert command(main, *arguments).code == 1, "the fault that parity finds"

    plan, mended = tmp_path / "mended.plan.json", tmp_path / "mended.onnx"
    ended = command(main, "bisect", *arguments, "--json", "--plan", plan, "--mended", mended)

    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["float32"] == faulty
    assert found["units"] == len(LAYERS)
    everything, nothing, *_, last = found["trials"]
    assert (everything["float32"], everything["failures"]) == (LAYERS, [])
    assert (nothing["float32"], last["float32"], last["failures"]) == ([], faulty, [])
    assert nothing["failures"]
    assert Plan.read(plan).float_layers == faulty
    assert Plan.read(plan).int8_layers == [layer for layer in LAYERS if layer not in faulty]
    assert command(main, arguments[0], mended, arguments[2]).code == 0, "the mended file passes parity"


def test_a_layer_in_eight_bits_over_half_is_named_too(files: Callable[..., list[Path]], command: Run) -> None:
    model = network()
    candidate = in_eight_bits(model, scene(1), "tensorrt", base=in_half(model))
    scales_swapped(candidate, LAYERS[3])

    ended = command(main, "bisect", *files(model, candidate), "--json")

    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["float32"] == [LAYERS[3]]


def test_an_equalised_file_gets_the_equalised_weights_back(
    files: Callable[..., list[Path]], command: Run
) -> None:
    model = network()
    set_constant(model, f"{LAYERS[2]}.weight", constant(model, f"{LAYERS[2]}.weight") * np.float32(64))
    set_constant(model, f"{LAYERS[2]}.bias", constant(model, f"{LAYERS[2]}.bias") * np.float32(64))
    set_constant(model, f"{LAYERS[3]}.weight", constant(model, f"{LAYERS[3]}.weight") / np.float32(64))
    equalised = ModelProto()
    equalised.CopyFrom(model)
    assert EqualiseLayers()(equalised), "the weights that it changed"
    candidate = in_eight_bits(equalised, scene(1), equalised=True)
    scales_swapped(candidate, LAYERS[2])

    ended = command(main, "bisect", *files(model, candidate), "--json")

    assert json.loads(ended.out)["float32"] == [LAYERS[2]]


def test_its_plan_goes_through_calibrate_and_back(
    files: Callable[..., list[Path]], command: Run, tmp_path: Path
) -> None:
    model = network()
    candidate = in_eight_bits(model, scene(1))
    scales_swapped(candidate, LAYERS[2])
    arguments, plan = files(model, candidate), tmp_path / "mended.plan.json"
    assert command(main, "bisect", *arguments, "--plan", plan).code == 0

    again = tmp_path / "again.onnx"
    ended = command(
        calibrate.main,
        arguments[0],
        "--data",
        arguments[2],
        "--plan",
        plan,
        "--method",
        "minmax",
        "-o",
        again,
    )

    assert ended.code == 0, ended.err
    assert reduced_units(onnx.load(again)) == [layer for layer in LAYERS if layer != LAYERS[2]]
    assert Plan.read(again.with_suffix(".plan.json")) == Plan.read(plan)
    back = tmp_path / "back.plan.json"
    ended = command(main, "bisect", arguments[0], again, arguments[2], "--plan", back)
    assert "passes as it is; nothing has to go back" in " ".join(ended.out.split()), ended.err
    assert Plan.read(back) == Plan.read(plan)


@pytest.mark.parametrize("blocks", [[1], [0, 2]], ids=str)
def test_exactly_the_blocks_that_overflow_in_half_are_named(
    blocks: list[int], files: Callable[..., list[Path]], command: Run, tmp_path: Path
) -> None:
    model = network()
    for block in blocks:
        for conv, factor in ((1, PAST_HALF), (2, 1 / PAST_HALF)):
            for kind in ("weight", "bias") if conv == 1 else ("weight",):
                name = f"backbone.body.{BLOCKS[block]}.conv{conv}.{kind}"
                set_constant(model, name, constant(model, name) * np.float32(factor))
    arguments = files(model, in_half(model))

    ended = command(
        main, "bisect", *arguments, "-o", tmp_path / "found.json", "--mended", tmp_path / "m.onnx"
    )

    names = [f"backbone.body.{BLOCKS[block]}" for block in blocks]
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"{len(blocks)} of 3 must go back to float32: {', '.join(names)}")
    assert json.loads((tmp_path / "found.json").read_text())["float32"] == names
    assert command(main, arguments[0], tmp_path / "m.onnx", arguments[2]).code == 0


def test_a_file_that_passes_has_nothing_to_mend(files: Callable[..., list[Path]], command: Run) -> None:
    model = network()

    ended = command(main, "bisect", *files(model, in_eight_bits(model, scene(1))))

    assert ended.code == 0
    assert "passes as it is" in ended.out


def test_a_fault_that_no_precision_made_is_told(files: Callable[..., list[Path]], command: Run) -> None:
    model = network()
    other = in_eight_bits(model, scene(1))
    set_constant(other, "score_rows", constant(other, "score_rows") * np.float32(0.9))

    ended = command(main, "bisect", *files(model, other))

    assert (ended.code, ended.out) == (1, "")
    assert "fails with everything in float32 too (score differs by" in ended.err


def another_checkpoint(path: Path) -> Path:
    model = onnx.load(path)
    put_contract(model, make_contract(checkpoint_sha256="1" * 64))
    onnx.save_model(model, path)
    return path


def resized_otherwise(path: Path) -> Path:
    model, contract = read_model(path, "int8")
    put_contract(model, contract.on_canvas(resize="pil"))
    onnx.save_model(model, path)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: [a[0], a[0], a[2]], "a model in fp32, expected int8 or fp16"),
        (lambda a: [a[1], a[1], a[2]], "a model in int8, expected fp32"),
        (lambda a: [another_checkpoint(a[0]), *a[1:]], "made from another checkpoint than"),
        (lambda a: [a[0], resized_otherwise(a[1]), a[2]], "its contract says canvas.resize pil, the"),
        (lambda a: [a[0], a[1].with_suffix(".engine"), a[2]], "only an ONNX file can be bisected"),
    ],
)
def test_files_that_cannot_be_bisected_are_refused(
    change: Callable[[list[Path]], list[Path]], said: str, files: Callable[..., list[Path]], command: Run
) -> None:
    model = network()

    ended = command(main, "bisect", *change(files(model, in_eight_bits(model, scene(1)))))

    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_without_onnx_it_says_what_to_install(without: Run) -> None:
    ended = without({"onnx"}, "maskrt.runtime.parity.command", "bisect", "a.onnx", "b.onnx", "images")

    assert ended.code == 2
    assert ended.err.strip() == (
        "maskrt parity bisect: bisecting a model needs the package 'onnx', which is not installed here. "
        f"Install it: {install('calibrate')}"
    )
