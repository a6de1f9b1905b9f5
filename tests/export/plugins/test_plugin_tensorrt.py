"""The plugins in a real TensorRT, as far as it goes without a GPU: its registry creates, clones and restores them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from maskrt.export.plugins import python_plugin
from maskrt.export.plugins.build import build_plugins
from maskrt.export.plugins.toolchain import BuildError, find_tensorrt

trt = pytest.importorskip("tensorrt", reason="no TensorRT on this machine")

ROI_ALIGN = {
    "output_height": 7,
    "output_width": 14,
    "sampling_ratio": 2,
    "strides": [4, 8, 16, 32],
    "mode": "max",
}
NMS = {"iou_threshold": 0.5, "score_threshold": 0.05, "max_output": 100, "num_groups": 5}
DEFORM_CONV = {"kernel": 3, "stride": 2, "padding": 1}
PLUGINS = {"PyramidRoiAlign": ROI_ALIGN, "GroupedNms": NMS, "DeformConv": DEFORM_CONV}
OTHER = {"PyramidRoiAlign": {"mode": "avg"}, "GroupedNms": {"num_groups": 6}, "DeformConv": {"stride": 1}}
SECOND_GENERATION = not hasattr(trt, "IPluginV3")


class Fields:
    """A PluginFieldCollection, with the arrays that it points into."""

    def __init__(self, values: dict[str, object]) -> None:
        kinds = {int: ("INT32", np.int32), list: ("INT32", np.int32), float: ("FLOAT32", np.float32)}
        self.arrays = []
        fields = []
        for name, value in values.items():
            kind, dtype = kinds.get(type(value), ("CHAR", np.int8))
            array = (
                np.frombuffer(value.encode(), dtype)
                if kind == "CHAR"
                else np.atleast_1d(np.array(value, dtype))
            )
            self.arrays.append(array)
            fields.append(trt.PluginField(name, array, getattr(trt.PluginFieldType, kind)))
        self.collection = trt.PluginFieldCollection(fields)


def get_creator(name: str):
    registry = trt.get_plugin_registry()
    find = registry.get_plugin_creator if SECOND_GENERATION else registry.get_creator
    return find(name, "1", "maskrt")


def create(name: str, values: dict[str, object]):
    fields = Fields(values)
    if SECOND_GENERATION:
        return get_creator(name).create_plugin("node", fields.collection)
    return get_creator(name).create_plugin("node", fields.collection, trt.TensorRTPhase.BUILD)


@pytest.mark.skipif(SECOND_GENERATION, reason="TensorRT 8.6 has no Python plugins of the third generation")
def test_python_plugins_register_and_survive_serialisation():  # before the library takes their names
    registry = trt.get_plugin_registry()
    if registry is None:
        pytest.skip("this TensorRT has no registry")
    assert python_plugin.register_python_plugins() == list(PLUGINS)
    assert python_plugin.register_python_plugins() == []  # they are there
    for name, values in PLUGINS.items():
        plugin = create(name, values)
        again = get_creator(name).create_plugin(
            "node", plugin.get_fields_to_serialize(), trt.TensorRTPhase.RUNTIME
        )
        assert again.operator == plugin.operator == plugin.clone().operator
    for creator in python_plugin._registered:
        registry.deregister_creator(creator)


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """The library, built for this TensorRT (or MASKRT_PLUGINS), and in its registry."""
    if "MASKRT_PLUGINS" in os.environ:
        path = Path(os.environ["MASKRT_PLUGINS"])
    else:
        try:
            headers = find_tensorrt()
            if headers.version[0] != int(trt.__version__.split(".")[0]):
                pytest.skip(f"headers of {headers.version_text} for TensorRT {trt.__version__}")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
                path = build_plugins(arch="90")
        except BuildError as error:
            pytest.skip(str(error))
    registry = trt.get_plugin_registry()
    handle = registry.load_library(str(path))
    yield path
    registry.deregister_library(handle)


@pytest.mark.parametrize("name", PLUGINS)
def test_the_registry_knows_the_plugin_and_its_attributes(library, name):
    creator = get_creator(name)
    assert (creator.name, creator.plugin_version, creator.plugin_namespace) == (name, "1", "maskrt")
    assert set(PLUGINS[name]) <= {field.name for field in creator.field_names}


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_is_created(library, name):
    assert create(name, PLUGINS[name]) is not None


@pytest.mark.skipif(not SECOND_GENERATION, reason="TensorRT 10 and later keep the attributes themselves")
@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_survives_serialisation_and_cloning(library, name):
    plugin = create(name, PLUGINS[name])
    assert (plugin.plugin_type, plugin.plugin_version, plugin.plugin_namespace) == (name, "1", "maskrt")
    data = bytes(plugin.serialize())
    assert plugin.serialization_size == len(data)
    restored = get_creator(name).deserialize_plugin("node", data)
    assert bytes(restored.serialize()) == data
    assert bytes(plugin.clone().serialize()) == data
    other = create(name, PLUGINS[name] | OTHER[name])
    assert bytes(other.serialize()) != data
    for length in (0, 1, 11, len(data) - 1):
        assert get_creator(name).deserialize_plugin("node", data[:length]) is None


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("PyramidRoiAlign", {"strides": [4, 8, 12]}),
        ("PyramidRoiAlign", {"strides": "four"}),
        ("PyramidRoiAlign", {"output_height": 100}),
        ("PyramidRoiAlign", {"mode": "mean"}),
        ("GroupedNms", {"num_groups": 0}),
        ("GroupedNms", {"iou_threshold": 1}),
        ("DeformConv", {"kernel": 0}),
        ("DeformConv", {"stride": -1}),
        ("DeformConv", {"padding": 2**31 - 1}),
        ("DeformConv", {"kernel": [3, 3]}),
        ("DeformConv", {"stride": 1.0}),
        ("DeformConv", {"padding": "one"}),
    ],
)
def test_wrong_attributes_are_refused(library, name, change, capfd):
    assert create(name, {**PLUGINS[name], **change}) is None
    (attribute,) = change
    assert re.search(rf"maskrt::{name}: .*\b{attribute}\b", capfd.readouterr().err)
