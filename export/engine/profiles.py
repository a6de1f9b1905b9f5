"""Optimisation profiles: which shapes an engine is to take, from the command line or from the contract."""

from __future__ import annotations

import re

from maskrt.runtime.backends.trt.engine_file import Profile, Shape
from maskrt.runtime.contract import Contract
from maskrt.runtime.errors import ExportError
from maskrt.runtime.preprocess import largest_canvas, round_up


def parse_shape(text: str) -> Shape:
    """(N, H, W) of "1x800x1344". Raises ExportError."""
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text)
    shape = (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)
    if 0 in shape:
        raise ExportError(f"'{text}' is no shape; expected NxHxW of the canvas, e.g. 1x800x1344.")
    return shape


def make_profiles(
    contract: Contract, least: list[str], best: list[str], most: list[str]
) -> tuple[Profile, ...]:
    """The profiles asked for with --min, --opt and --max; the first of each make the first profile.

    Without any: a batch of 1 of every canvas that the contract's resizing gives, fastest for the largest
    landscape image. --opt alone is a profile of one shape. A profile is named by the shape that it is
    fastest at. A model of fixed shapes has none.

    Raises ExportError where they do not go together, or are not what the model takes.
    """
    fixed = (contract.batch, contract.canvas.height_px, contract.canvas.width_px)
    if None not in fixed:
        for text in (*least, *best, *most):
            if parse_shape(text) != fixed:
                raise ExportError(
                    f"the profile {text} is not what the model takes: it is fixed to "
                    f"{'x'.join(map(str, fixed))}. For any size: maskrt export CHECKPOINT --dynamic"
                )
        return ()
    if not (least or best or most):
        return (_default(contract),)
    if not best or (least and len(least) != len(best)) or (most and len(most) != len(best)):
        raise ExportError(
            f"{len(least)} --min, {len(best)} --opt and {len(most)} --max: every profile needs an --opt, and "
            "--min and --max once a profile or not at all."
        )
    rows = zip(least or best, best, most or best, strict=True)
    profiles = tuple(Profile(row[1], *(parse_shape(text) for text in row)) for row in rows)
    if len({profile.name for profile in profiles}) < len(profiles):
        raise ExportError(
            "two profiles with the same --opt, by which they are named. Widen one with --min and --max."
        )
    for profile in profiles:
        _check(profile, contract)
    return profiles


def _default(contract: Contract) -> Profile:
    canvas = contract.canvas
    short, long = largest_canvas(canvas)

    def shape(height: int, width: int) -> Shape:
        return contract.batch or 1, canvas.height_px or height, canvas.width_px or width

    best = shape(short, long)
    name = "x".join(map(str, best))
    return Profile(name, shape(canvas.stride, canvas.stride), best, shape(long, long))


def _check(profile: Profile, contract: Contract) -> None:
    canvas = contract.canvas
    fixed = (contract.batch, canvas.height_px, canvas.width_px)
    for shape in (profile.min, profile.opt, profile.max):
        text = "x".join(map(str, shape))
        if any(side % canvas.stride for side in shape[1:]):
            near = "x".join(map(str, (shape[0], *(round_up(side, canvas.stride) for side in shape[1:]))))
            raise ExportError(f"{text}: sides must be multiples of {canvas.stride}. Try {near}")
        if any(f is not None and f != got for f, got in zip(fixed, shape, strict=True)):
            raise ExportError(f"{text}: the model is fixed to (N, H, W) = {fixed}; None stands for any.")
    for low, middle, high in zip(profile.min, profile.opt, profile.max, strict=True):
        if not low <= middle <= high:
            raise ExportError(
                f"the profile {profile.name} goes from {profile.min} over {profile.opt} to {profile.max}: "
                "each of (N, H, W) must not fall from --min to --opt to --max."
            )
