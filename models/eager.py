"""The PyTorch reference: a family's own network in eager mode, on a canvas, behind the Session protocol.

Used by validation, evaluation and parity. It takes the same canvas as an exported model: padding is part of
the computation, and a reference padded otherwise is another one. Normalisation is written here anew, not
shared with the exported graph: one mistake cannot hide in both.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms.v2.functional import normalize

from maskrt.runtime.backends.session import Outputs, Session
from maskrt.runtime.contract import CANVAS, Contract, Stages
from maskrt.runtime.contract.tensors import BATCH, HEIGHT, WIDTH
from maskrt.runtime.errors import ModelError
from maskrt.runtime.preprocess import corner

Network = TypeVar("Network", bound=nn.Module)


#: What a network finds in one image: by output, as the contract has it but for the batch; None for what it
#: has not. Of an output that is counted the rows found alone, the surest first; the count is not given.
Found = dict[str, Tensor | None]


class Reference(Session, Generic[Network]):
    """A network in eval mode, at any canvas size and batch. A family says what it finds."""

    has_stages = True
    #: The contract's taps, but for the canvas, by name: the submodule whose output each is.
    taps: Mapping[str, str] = MappingProxyType({})

    def __init__(self, model: Network, contract: Contract, *, name: str, device: str = "cpu") -> None:
        self.contract, self.name = contract.on_canvas(dtype="float32"), name
        self.model, self._device = model.to(device), device
        self._dtype = next(model.parameters()).dtype

    @abstractmethod
    def found(self, canvas: Tensor, sizes: list[tuple[int, int]]) -> list[Found]:
        """What the network finds on each canvas. canvas: (N, 3, H, W) normalised; sizes: (height, width) of
        each picture on it."""

    def infer(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        """As every session's, but takes a uint8 canvas too: the values are the same."""
        return super().infer(images.astype(np.float32, copy=False), image_sizes)

    def infer_with_stages(self, images: NDArray, image_sizes: NDArray[np.float32]) -> tuple[Outputs, Stages]:
        """As every session's, but takes a uint8 canvas too."""
        return super().infer_with_stages(images.astype(np.float32, copy=False), image_sizes)

    @torch.inference_mode()
    def _run(self, images: NDArray, image_sizes: NDArray[np.float32]) -> Outputs:
        canvas, sizes = self._normalised(images, image_sizes)
        return self._packed(self.found(canvas, sizes), images.shape[1:3])

    @torch.inference_mode()
    def _run_with_stages(self, images: NDArray, image_sizes: NDArray[np.float32]) -> tuple[Outputs, Stages]:
        canvas, sizes = self._normalised(images, image_sizes)
        seen = {CANVAS: canvas}

        def take(tap: str) -> Any:
            return lambda module, given, output: seen.update({tap: output})

        hooks = [module.register_forward_hook(take(tap)) for tap, module in self._modules_of_taps().items()]
        try:
            outputs = self._packed(self.found(canvas, sizes), images.shape[1:3])
        finally:
            for hook in hooks:
                hook.remove()
        names = self.contract.inside.names
        if unseen := [name for name in names if name not in seen]:
            raise self._fault(f"never runs the module '{self.taps[unseen[0]]}' of the tap '{unseen[0]}'")
        return outputs, {name: seen[name].cpu().numpy() for name in names}

    def _modules_of_taps(self) -> dict[str, nn.Module]:
        """By tap, but for the canvas. Raises ModelError for a tap without a module."""
        for tap in self.contract.inside.names:
            if tap != CANVAS and tap not in self.taps:
                raise self._fault(f"has no module for the tap '{tap}': its `taps` are {sorted(self.taps)}")
        known = dict(self.model.named_modules())
        for tap, module in self.taps.items():
            if module not in known:
                raise self._fault(
                    f"takes the tap '{tap}' from a module '{module}', which its network has not"
                )
        return {tap: known[module] for tap, module in self.taps.items()}

    def _fault(self, problem: str) -> ModelError:
        """The error for what a family's own code does wrong. problem: what follows its name."""
        return ModelError(
            f"{self.name}: the reference of the family '{self.contract.family}' {problem}. Mend "
            f"{type(self).__name__}, or what its configuration says (docs/architecture.md, Adding)."
        )

    def _normalised(
        self, images: NDArray, image_sizes: NDArray[np.float32]
    ) -> tuple[Tensor, list[tuple[int, int]]]:
        """(N, 3, H, W): around pictures zero or, on a square canvas, what black is; the pictures' sizes."""
        pixels = torch.from_numpy(images).to(self._device, self._dtype).permute(0, 3, 1, 2) / 255
        sizes = [(int(h), int(w)) for h, w in image_sizes]
        mean, std = list(self.contract.normalise.mean), list(self.contract.normalise.std)
        placement = self.contract.canvas.placement
        normal = normalize(pixels, mean, std)
        black = normalize(torch.zeros_like(pixels), mean, std)
        canvas = black if placement == "square" else torch.zeros_like(normal)
        for image, picture, (h, w) in zip(canvas, normal, sizes, strict=True):
            top, left = corner((h, w), pixels.shape[2:], placement)
            image[:, top : top + h, left : left + w] = picture[:, top : top + h, left : left + w]
        return canvas, sizes

    def _packed(self, found: list[Found], sides: tuple[int, int]) -> Outputs:
        """As the contract has them, zeros past the counts, and what parity asks beside (`Options.beside`).

        sides: (height, width) of the canvas. Raises ModelError for what is missing, or of another shape.
        """
        axes = dict(zip((BATCH, HEIGHT, WIDTH), (len(found), *sides), strict=True))
        contract = self.contract
        outputs = *contract.outputs, *contract.options.beside(contract.batch, contract.canvas)
        arrays = Outputs({one.name: np.zeros(one.shape(axes), one.dtype) for one in outputs})
        given = [one for one in outputs if one.name not in {other.counted_by for other in outputs}]
        for row, one in enumerate(found):
            counts: dict[str, int] = {}
            for tensor in given:
                values, place = one.get(tensor.name), arrays[tensor.name][row]
                got, wanted, more = () if values is None else tuple(values.shape), place.shape, ""
                if tensor.counted_by and got:
                    most, *rest = wanted
                    wanted = (counts.setdefault(tensor.counted_by, min(got[0], most)), *rest)
                    more = f", and at most {most} of these"
                if values is None or got != wanted:
                    given_here = "nothing" if values is None else got
                    raise self._fault(f"gives {given_here} as '{tensor.name}', expected {wanted}{more}")
                place[: wanted[0]] = values.cpu().numpy()
            for name, count in counts.items():
                arrays[name][row] = count
        return arrays
