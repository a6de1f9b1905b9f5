"""All probes of a model that can be taken apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from numpy.typing import NDArray

from maskrt.models.rcnn.parity.probes.detections import DetectionProbes
from maskrt.models.rcnn.parity.probes.heads import HeadProbes
from maskrt.models.rcnn.parity.probes.pooling import STAGES, PoolingProbes
from maskrt.models.rcnn.parity.probes.proposals import ProposalProbes
from maskrt.models.rcnn.parity.probes.setting import Setting
from maskrt.runtime.parity.inside.knowledge import Finding
from maskrt.runtime.parity.inside.parts import GraphParts, Parts
from maskrt.runtime.parity.tolerances import StageTolerance

HEADS = ("box_head", "mask_head", "keypoint_head")


class Rounded:
    """The reference's parts on what the candidate's are given, in the types that those take."""

    def __init__(self, ours: Parts, theirs: GraphParts) -> None:
        self._ours, self._theirs = ours, theirs
        self.names = ours.names

    def run(self, part: str, given: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """As the protocol has it."""
        return self._ours.run(part, self._theirs.as_taken(part, given))


def probe(
    setting: Setting, ours: Parts, theirs: GraphParts, in_float: set[str], limit: StageTolerance
) -> Iterator[Finding]:
    """What each probe finds, in the order of the computation.

    in_float: the parts without eight bits in them; the others' ranges were measured on images, and made
    inputs are none. limit: of the heads.
    """
    ours = Rounded(ours, theirs)
    heads = HeadProbes(setting, ours, theirs, limit)
    for part in ours.names:
        if part not in in_float:
            continue
        if part == "proposals":
            yield from ProposalProbes(setting, ours, theirs).run()
        elif part in STAGES:
            yield from PoolingProbes(setting, part, ours, theirs).run()
        elif part == "detections":
            yield from DetectionProbes(setting, ours, theirs).run()
        elif part in HEADS:
            yield from getattr(heads, part)()
