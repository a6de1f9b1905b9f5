"""What is known of one image when the cause of a difference is looked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from maskrt.runtime.contract import Contract, Stages
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.parity.inside.stages import Aligned
from maskrt.runtime.tasks.comparison import Seen


@dataclass(frozen=True)
class Evidence:
    """What is known of one image. Pairs are of the reference and the candidate; seen: the results of both, as
    their task looks at them."""

    aligned: dict[str, Aligned]
    samples: dict[str, Sample]  # the reference's stages
    stages: Stages  # the candidate's
    seen: Seen
    contracts: tuple[Contract, Contract]
    measured: Callable[[str], list[str]] = lambda stage: []  # causes found without an image
