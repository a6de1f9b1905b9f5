"""The plugins in Python: an IPluginV3 (TensorRT 10 and 11) whose kernels NVRTC compiles at run time.

For a machine with TensorRT from pip, which brings no headers that the C++ library could be built against.
`register_python_plugins()` puts them into TensorRT's registry; nothing here imports TensorRT before that.
An engine built with them needs them registered again wherever it is loaded.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any

from maskrt.export.plugins import nvrtc
from maskrt.export.plugins.python_operators import OPERATORS, read_fields, write_fields
from maskrt.export.plugins.python_tensors import TensorKind, Tensors
from maskrt.runtime.errors import MaskrtError, MissingDependencyError

NAMESPACE = "maskrt"
VERSION = "1"

_errors = threading.local()


def take_error() -> Exception | None:
    """Return and clear the last exception of a plugin on this thread; TensorRT only reports a failure."""
    error, _errors.last = getattr(_errors, "last", None), None
    return error


def _remember(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method that TensorRT calls: its exception is kept for `take_error`."""

    @functools.wraps(method)
    def wrapper(*args: Any) -> Any:
        try:
            return method(*args)
        except Exception as error:
            _errors.last = error
            raise

    return wrapper


def _import_tensorrt() -> Any:
    try:
        import tensorrt
    except ImportError as error:
        raise MissingDependencyError(
            f"The Python plugins need TensorRT's Python package ({error}). Install it: pip install tensorrt"
        ) from error
    if not hasattr(tensorrt, "IPluginV3"):
        raise MaskrtError(
            f"TensorRT {tensorrt.__version__} has no Python plugins (they came with 10.0). "
            "Build the library instead: maskrt build-plugins"
        )
    return tensorrt


def _kinds(descriptions: list[Any]) -> list[TensorKind]:
    return [TensorKind(d.type.name, d.format.name) for d in descriptions]


def _bounds(tensors: list[Any]) -> tuple[list[tuple[int, ...]], bool]:
    """Shapes while an engine is built, and whether they are exact: a wildcard has an upper bound only."""
    wild = [any(extent < 0 for extent in t.desc.dims) for t in tensors]
    shapes = [tuple(t.max if w else t.desc.dims) for t, w in zip(tensors, wild, strict=True)]
    return shapes, not any(wild)


@functools.cache
def plugin_class(trt: Any) -> type:
    """The plugin, as a subclass of this TensorRT module's interfaces."""

    class Plugin(trt.IPluginV3, trt.IPluginV3OneCore, trt.IPluginV3OneBuild, trt.IPluginV3OneRuntime):
        def __init__(self, operator: Any) -> None:
            trt.IPluginV3.__init__(self)
            trt.IPluginV3OneCore.__init__(self)
            trt.IPluginV3OneBuild.__init__(self)
            trt.IPluginV3OneRuntime.__init__(self)
            self.plugin_name, self.plugin_version, self.plugin_namespace = operator.NAME, VERSION, NAMESPACE
            self.num_outputs = operator.OUTPUTS
            self.operator = operator
            self.timing_cache_id = repr(operator)  # what TensorRT does not know of when it looks up a time
            # The bindings of 10.3 corrupt memory when Python frees a plugin, so none is ever freed.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

        def get_capability_interface(self, kind: Any) -> Any:
            return self

        def clone(self) -> Any:
            return Plugin(self.operator)

        def attach_to_context(self, context: Any) -> Any:
            return self.clone()

        @_remember
        def get_output_data_types(self, types: list[Any]) -> list[Any]:
            return self.operator.output_types(types, trt.int32)

        @_remember
        def get_output_shapes(self, inputs: list[Any], shape_inputs: list[Any], builder: Any) -> list[Any]:
            outputs = []
            for shape in self.operator.output_shapes([list(dims) for dims in inputs]):
                dims = trt.DimsExprs(len(shape))
                for i, extent in enumerate(shape):
                    dims[i] = builder.constant(extent) if isinstance(extent, int) else extent
                outputs.append(dims)
            return outputs

        @_remember
        def supports_format_combination(self, position: int, tensors: list[Any], input_count: int) -> bool:
            return self.operator.supports(position, _kinds([t.desc for t in tensors[: position + 1]]))

        @_remember
        def configure_plugin(self, inputs: list[Any], outputs: list[Any]) -> None:
            self.operator.check(*_bounds(inputs))

        @_remember
        def get_workspace_size(self, inputs: list[Any], outputs: list[Any]) -> int:
            return self.operator.workspace_bytes(_bounds(inputs)[0])

        def set_tactic(self, tactic: int) -> None:
            pass

        @_remember
        def on_shape_change(self, inputs: list[Any], outputs: list[Any]) -> None:
            self.operator.check([tuple(t.dims) for t in inputs])
            nvrtc.load_kernels()  # now, since a stream that is being captured must not wait for a compiler

        @_remember
        def enqueue(self, inputs: list[Any], outputs: list[Any], *addresses: Any) -> None:
            *places, stream = addresses  # of the inputs, of the outputs, of the work space
            tensors = Tensors([tuple(t.dims) for t in inputs], _kinds(inputs), *places)
            for launch, params in self.operator.steps(tensors):
                nvrtc.launch(launch, params, stream)

        @_remember
        def get_fields_to_serialize(self) -> Any:
            kinds = {str: "CHAR", float: "FLOAT32", int: "INT32", tuple: "INT32"}
            self._fields = [  # TensorRT keeps pointers into these
                trt.PluginField(name, values, getattr(trt.PluginFieldType, kinds[self.operator.KINDS[name]]))
                for name, values in write_fields(self.operator).items()
            ]
            self._collection = trt.PluginFieldCollection(self._fields)
            return self._collection

    return Plugin


@functools.cache
def creator_class(trt: Any) -> type:
    """The plugins' creator, as a subclass of this TensorRT module's interface."""

    class Creator(trt.IPluginCreatorV3One):
        def __init__(self, operator_class: Any) -> None:
            trt.IPluginCreatorV3One.__init__(self)
            self.name, self.plugin_version, self.plugin_namespace = operator_class.NAME, VERSION, NAMESPACE
            names = [trt.PluginField(name) for name in operator_class.KINDS]
            self.field_names = trt.PluginFieldCollection(names)
            self.operator_class = operator_class

        @_remember
        def create_plugin(self, name: str, fields: Any, phase: Any) -> Any:
            operator = read_fields(self.operator_class, {field.name: field.data for field in fields})
            return plugin_class(trt)(operator)

    return Creator


_registered: list[Any] = []  # TensorRT does not own creators that come from Python


def register_python_plugins(trt: Any = None) -> list[str]:
    """Put the Python plugins into TensorRT's registry; returns the names of those that were not there yet."""
    trt = trt or _import_tensorrt()
    nvrtc.bindings()  # a missing package is reported now, not during a build
    registry = trt.get_plugin_registry()
    names = []
    for operator_class in OPERATORS:
        if registry.get_creator(operator_class.NAME, VERSION, NAMESPACE) is not None:
            continue
        creator = creator_class(trt)(operator_class)
        if not registry.register_creator(creator, NAMESPACE):
            raise MaskrtError(
                f"TensorRT {trt.__version__} refused to register the Python plugin "
                f"{NAMESPACE}::{operator_class.NAME} version {VERSION}; its log says why."
            )
        _registered.append(creator)
        names.append(operator_class.NAME)
    return names
