"""A model family: all that training, export and parity ask of a network.

A family is a package of models/, registered in `maskrt.models.FAMILIES`. Its module `family` has a function
`family(name)` that gives the `Family` below. What cannot be said without PyTorch stands there; what parity
knows of the family on machines without it stands in a package `parity` beside it, which is optional
(runtime/siblings.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from maskrt.models.config import ModelConfig
from maskrt.models.graph import InferenceGraph
from maskrt.runtime.errors import MaskrtError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from maskrt.models.checkpoint import Checkpoint
    from maskrt.runtime.backends.session import Session
    from maskrt.runtime.contract import Category, Contract

Config = TypeVar("Config", bound=ModelConfig)
Network = TypeVar("Network", bound="nn.Module")


@dataclass(frozen=True)
class Preset(Generic[Config]):
    """Where `maskrt train --preset NAME` begins. run: fields of training's TrainConfig that are chosen."""

    config: Config
    run: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """Reads one kind of another project's checkpoints.

    title: what such a file is called in messages. recognises: whether a file's content, a dictionary, is of
    the kind. read(content, class_names=…, sha256=…, source=…): the checkpoint. It raises CheckpointError.
    """

    title: str
    recognises: Callable[[dict[str, Any]], bool]
    read: Callable[..., Checkpoint]


@dataclass(frozen=True)
class HeadLayers:
    """Prefixes of the names of weights that cannot always be taken over from another model of the family.

    classes, keypoints: of layers whose outputs are the classes' or the points' own. branches: of what some
    models of the family have and others have not.
    """

    classes: tuple[str, ...] = ()
    keypoints: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()


class Family(ABC, Generic[Config, Network]):
    """What is asked of a network. `name` is the one that it is registered under.

    presets: by their names in `maskrt train --preset`, which no family of another package has. readers: of
    foreign checkpoints. Of several names in one package all may give the same.
    """

    presets: Mapping[str, Preset[Config]] = MappingProxyType({})
    readers: tuple[Reader, ...] = ()
    #: Losses in the order in which curves.png draws them; any others follow by name.
    losses: tuple[str, ...] = ()
    #: Losses that training's progress bar shows beside their sum.
    losses_in_bar: tuple[str, ...] = ()
    #: Why it is not trained, and what to do instead; empty where it is.
    inference_only: str = ""

    def __init__(self, name: str) -> None:
        self.name = name

    # What it is

    @abstractmethod
    def read_config(self, values: Mapping[str, Any]) -> Config:
        """The configuration out of a checkpoint's plain values. Raises CheckpointError."""

    @abstractmethod
    def build(self, config: Config) -> Network:
        """The network, randomly initialised.

        In training mode it takes images, a list of (3, h, w) float32 RGB in 0–1, of several sizes, and
        targets, a dictionary an image (training/loop/loader.py): labels count from 1, and there may be no
        boxes. It normalises, pads with zeros to the stride and stacks by itself, as the graph does. It gives
        a dictionary of losses, named "loss_…", which are added. In eval mode it is not called: reference and
        graph call its submodules. A backbone is its submodule `backbone`, a pyramid `backbone.fpn`, for
        `--layers` (training/layers.py).
        """

    @abstractmethod
    def graph(self, model: Network, *, detections: str) -> InferenceGraph:
        """What is exported of a network in eval mode (models/graph.py).

        It leaves the network as it is, so it is made of a copy: models/parts/half.py changes the types of a
        graph's modules in place, and the network may be the reference of the same file.

        detections: "fixed", or "dynamic" where what follows the boxes may run on the rows found alone. A
        family with nothing after its boxes ignores it.
        """

    @abstractmethod
    def reference(self, model: Network, contract: Contract, *, name: str, device: str = "cpu") -> Session:
        """The network itself as a session, for validation and parity: what the exported graph is held to.

        Its attribute `model` is the network, so that parity can hold a file's weights to it.
        """

    @abstractmethod
    def example(self, classes: tuple[Category, ...], picture: NDArray) -> Checkpoint:
        """A small model of random weights that finds several objects in `picture`, (H, W, 3) uint8.

        Tests take a family through every command with it.
        """

    def for_small_devices(self, config: Config, proposals: int) -> dict[str, Any]:
        """Fields of the configuration that `maskrt export --jetson` changes beside the size of pictures.

        proposals: the most regions of an image that are looked at, where the network has such.
        """
        return {}

    # How it learns

    @abstractmethod
    def for_data(self, config: Config, classes: int, keypoints: int) -> Config:
        """The configuration for a data set's number of classes, without background, and of keypoints."""

    def check_untrained(self, config: Config) -> None:
        """Raise MaskrtError where a network of random weights would learn nothing."""

    def continued(self, config: Config, preset: ModelConfig) -> Config:
        """The configuration of a run `--from` a checkpoint of `config`: its own, unless `preset`, which was
        asked for, is of a network that begins from this one."""
        return config

    def head_layers(self, config: Config) -> HeadLayers:
        """What `maskrt train --from` leaves out where classes, keypoints or branches are others."""
        return HeadLayers()

    def load_backbone(self, model: Network, config: Config, source: str) -> None:
        """Put a classifier's weights into the backbone, in place.

        source: "imagenet", or the file of a state dict. Raises CheckpointError where that cannot be.
        """
        raise MaskrtError(
            f"--backbone: a {self.name} has no backbone to load by itself. Begin with a whole model: --from "
            "CHECKPOINT, or leave it out."
        )

    def fake_quantise(self, model: Network) -> None:
        """Make the network compute as its INT8 file will, in place (models/parts/quantisers.py).

        Raises MaskrtError where that is not known.
        """
        raise MaskrtError(
            f"--qat: training in eight bits is not known for a {self.name}. Quantise the model after "
            "training: maskrt calibrate MODEL.onnx --data IMAGES"
        )
