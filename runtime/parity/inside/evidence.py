"""What is known of one image when the cause of a difference is looked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.parity.inside.stages import Aligned
from maskrt.runtime.parity.tolerances import Tolerance
from maskrt.runtime.stages import Stages
from maskrt.runtime.tasks.instances.result import Result


@dataclass(frozen=True)
class Evidence:
    """What is known of one image. Pairs are of the reference and the candidate; results are on the canvas."""

    aligned: dict[str, Aligned]
    samples: dict[str, Sample]  # the reference's stages
    stages: Stages  # the candidate's
    results: tuple[Result, Result]
    contracts: tuple[Contract, Contract]
    limit: Tolerance
    # (D, M, M) probabilities of both sides, None without masks.
    masks: tuple[NDArray[np.float32] | None, NDArray[np.float32] | None] = (None, None)
    measured: Callable[[str], list[str]] = lambda stage: []  # causes found without an image
