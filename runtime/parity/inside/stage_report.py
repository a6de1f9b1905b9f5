"""The stages of all images of a comparison, and the first of them that is out of tolerance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from maskrt.runtime.parity.inside.stages import StageError


@dataclass(frozen=True)
class Fault:
    """A stage out of tolerance on an image, and why. inside: what comes before it was compared too. judged:
    it is a failure by itself; otherwise it says where a failure of the results begins."""

    stage: str
    image: str
    reason: str
    culprits: tuple[str, ...]
    inside: bool = True
    judged: bool = True

    def __str__(self) -> str:
        what = f"{self.stage} is the first stage that differs" if self.inside else f"{self.stage} differ"
        return self._said(what)

    def beside_the_first(self) -> str:
        """The sentence of a further finding: one stage alone is the first."""
        return self._said(f"also at {self.stage}")

    def _said(self, what: str) -> str:
        return f"{what} ({self.image}): {self.reason}. {self.culprits[0]}"


@dataclass
class StageReport:
    """What `compare_stages` found, gathered image by image."""

    order: tuple[str, ...] = ()  # of stages and outputs, as an error travels
    errors: dict[str, list[StageError]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    unseen: list[Fault] = field(default_factory=list)  # found without an image

    def add(
        self,
        image: str,
        errors: list[StageError],
        explain: Callable[[StageError], list[str]],
        *,
        inside: bool = True,
        judged: Callable[[str], bool] = lambda stage: True,
    ) -> None:
        """Record one image's stages; `explain` is asked for the culprits of the first that is out.

        inside: whether stages inside are among them, or outputs alone. judged: whether a stage out of
        tolerance is a failure by itself.
        """
        for error in errors:
            self.errors.setdefault(error.stage, []).append(error)
        faulty = [error for error in errors if error.reason]
        if faulty:
            first = min(faulty, key=lambda error: self._place(error.stage))
            culprits = tuple(explain(first))
            self.faults.append(Fault(first.stage, image, first.reason, culprits, inside, judged(first.stage)))

    def _place(self, stage: str) -> int:
        return self.order.index(stage) if stage in self.order else len(self.order)

    @property
    def first(self) -> Fault | None:
        """The fault nearest the input, over all images and what needs none."""
        return min([*self.faults, *self.unseen], key=lambda fault: self._place(fault.stage), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Per stage the worst of all images, and the first fault, for JSON."""
        first = self.first
        return {
            "first": asdict(first) if first else None,
            "per_stage": [_worst(name, self.errors[name]) for name in sorted(self.errors, key=self._place)],
        }


@dataclass
class PartReport:
    """What each part does on the reference's own inputs (ForcedParts), the worst of all images."""

    worst: dict[str, StageError] = field(default_factory=dict)

    def add(self, errors: dict[str, StageError]) -> None:
        """Record one image's parts."""
        for part, error in errors.items():
            known = self.worst.get(part)
            if known is None or (not error.reason, error.snr_db) < (not known.reason, known.snr_db):
                self.worst[part] = error

    @property
    def failures(self) -> list[str]:
        """The parts that are wrong in themselves."""
        return [
            f"{part} is wrong on the reference's own inputs: {error.stage}: {error.reason}"
            for part, error in self.worst.items()
            if error.reason
        ]

    def to_dict(self) -> list[dict[str, Any]]:
        """A row a part, for JSON."""
        return [
            {
                "part": part,
                "stage": error.stage,
                "snr_db": error.snr_db if np.isfinite(error.snr_db) else None,
                "reason": error.reason,
            }
            for part, error in self.worst.items()
        ]


def _worst(name: str, errors: list[StageError]) -> dict[str, Any]:
    def over(key: str, choose: Any) -> float | None:
        values = [v for e in errors if np.isfinite(v := getattr(e, key))]
        return float(choose(values)) if values else None

    return {
        "stage": name,
        "snr_db": over("snr_db", min),
        "cosine": over("cosine", min),
        "max_error": over("max_error", max),
        "mean_error": over("mean_error", max),
        "relative_error": over("relative_error", max),
        "compared": over("compared", min),
        "not_finite": sum(e.not_finite for e in errors),
        "images_out_of_tolerance": sum(bool(e.reason) for e in errors),
    }
