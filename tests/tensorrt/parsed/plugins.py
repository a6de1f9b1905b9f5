"""What plugin layers compute, by the attributes that the plugin itself has kept and serialises."""

from __future__ import annotations

import struct
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import roi_align

from maskrt.models.operators import deform_conv, grouped_nms, pyramid_roi_align
from tests.tensorrt.parsed.maps import Inputs, Parameters

FLOAT32, INT32, CHAR = 1, 5, 6  # nvinfer1::PluginFieldType
#: What TensorRT's own ROIAlign serialises (its open source, plugin/roiAlignPlugin).
BUILT_IN = (
    *("coordinate_transformation_mode", "mode", "output_height", "output_width"),
    *("sampling_ratio", "spatial_scale"),
)
BUILT_IN_STATE_BYTES = 40  # of 8.6; the mock's own stand-in for later versions writes fields as ours do


def attributes(described: dict[str, Any]) -> dict[str, Any]:
    """Of a plugin by its serialised state: ours as plugin_blob.cpp writes it, or the built-in RoIAlign's."""
    blob = bytes.fromhex(described["state"])
    if described["name"] == "ROIAlign_TRT" and len(blob) == BUILT_IN_STATE_BYTES:
        return dict(zip(BUILT_IN, struct.unpack_from("<5if", blob), strict=True))
    found: dict[str, Any] = {}
    at = 0
    while at < len(blob):
        kind, count, name_bytes = struct.unpack_from("<3i", blob, at)
        at += 12
        name = blob[at : at + name_bytes].decode()
        at += name_bytes
        value_bytes = count * (1 if kind == CHAR else 4)
        content = blob[at : at + value_bytes]
        at += value_bytes
        if kind == CHAR:
            found[name] = content.decode()
        else:
            values = struct.unpack(f"<{count}{'f' if kind == FLOAT32 else 'i'}", content)
            found[name] = list(values) if name == "strides" else values[0]
    return found


def plugin(p: Parameters, x: Inputs, spare: int) -> list[Tensor]:
    """A plugin of ours by its definition in torch, or TensorRT's RoIAlign by torchvision's."""
    name, known = p["plugin"]["name"], attributes(p["plugin"])
    if name == "GroupedNms":
        return list(grouped_nms(x[0], x[1], x[2].int(), **known))
    if name == "DeformConv":
        return [deform_conv(*(x[i].float() for i in range(5)), **known).to(x[0].dtype)]
    if name == "PyramidRoiAlign":
        known["aligned"] = bool(known["aligned"])
        return [pyramid_roi_align(x[0], x[1].int(), [x[i] for i in sorted(x)[2:]], **known)]
    if name != "ROIAlign_TRT" or not known["mode"]:
        raise ValueError(f"the plugin {name} with {known} is not known here")
    rois = torch.cat([x[2][:, None].float(), x[1]], 1)
    sides, half_pixel = (
        (known["output_height"], known["output_width"]),
        known["coordinate_transformation_mode"] == 1,
    )
    return [roi_align(x[0], rois, sides, known["spatial_scale"], known["sampling_ratio"], half_pixel)]
