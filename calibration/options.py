"""What a user of `maskrt calibrate` asks for: what cannot be done is refused before anything is measured."""

from __future__ import annotations

from pathlib import Path

from maskrt.calibration.decide.gate import Limits
from maskrt.calibration.decide.layers import Graph
from maskrt.calibration.decide.plan import Plan
from maskrt.calibration.flavours import CPU, FLAVOURS, METHOD
from maskrt.calibration.measure.observers import METHODS
from maskrt.runtime.errors import AccuracyError, CalibrationError


def check_options(
    flavour: str,
    method: str | None,
    onto: Path | None,
    from_cache: Path | None,
    limits: Limits,
) -> None:
    """Raise CalibrationError for options that contradict each other."""
    for option, got, allowed in (
        ("flavour", flavour, FLAVOURS),
        ("method", method or METHOD, tuple(METHODS)),
    ):
        if got not in allowed:
            raise CalibrationError(f"--{option} is {got!r}, expected one of {', '.join(allowed)}.")
    if flavour == CPU and (onto or from_cache):
        raise CalibrationError(
            "--onto and --from-cache are for --flavour tensorrt: on the CPU what is not in INT8 runs in "
            "FP32, and a cache of TensorRT knows only symmetric ranges."
        )
    if not (0 <= limits.min_mask_iou <= 1 and limits.max_ap_drop >= 0):  # NaN is neither
        raise CalibrationError(
            f"--min-mask-iou {limits.min_mask_iou} and --max-ap-drop {limits.max_ap_drop}: expected 0 to 1, "
            "and 0 or more."
        )


def check_equalise(equalise: bool, cache: Path | None, learned: dict[str, float]) -> None:
    """Raise CalibrationError where ranges are not those of the equalised model."""
    if equalise and (cache or learned):
        raise CalibrationError(
            f"--equalise changes the ranges, and {cache or 'the scales that training learned'} "
            f"{'holds' if cache else 'are'} those of the model as it is. Leave --equalise out."
        )


def wanted_plan(
    path: Path | None, graph: Graph, flavour: str, method: str | None, *, last_layers: bool
) -> Plan:
    """The plan of the file, or the default one.

    Raises CalibrationError for a plan of other layers, another flavour or another method, AccuracyError for
    one with the last layers in INT8 where nobody asked for them.
    """
    if path is None:
        return Plan.default(graph, flavour, method or METHOD, last_layers=last_layers)
    plan = Plan.read(path)
    if plan.flavour != flavour:
        raise CalibrationError(f"{path}: a plan for --flavour {plan.flavour}, not {flavour}.")
    if method not in (None, plan.method):
        raise CalibrationError(f"{path}: a plan by --method {plan.method}, not {method}. Leave --method out.")
    if unknown := [name for name in (*plan.int8_layers, *plan.float_layers) if name not in graph.layers]:
        raise CalibrationError(
            f"{path}: names layers that the model has not: {', '.join(unknown[:3])}. Mend the names, or have "
            "a plan made: leave --plan out."
        )
    if not last_layers and (last := plan.last_layers):
        raise AccuracyError(
            f"{path}: puts the last layers into INT8 ({', '.join(last)}), where 256 steps decide between "
            "classes and box edges. Set them to float, or ask for it: --last-layers"
        )
    return plan
