"""How often images exercised what a model is made of: its levels, its classes, its branches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maskrt.runtime.contract import Contract
from maskrt.runtime.parity.inside.knowledge import Facts, Knowledge, knowledge_of
from maskrt.runtime.parity.inside.samples import Sample
from maskrt.runtime.preprocess import Batch
from maskrt.runtime.tasks.answers import Exercised


@dataclass
class Coverage:
    """Of all images, by what the reference says. inside: boxes inside the model by its level, as its family
    counts them; found: what its task finds, by class."""

    inside: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    counted: str = Knowledge.counted  # what `inside` counts
    classes: tuple[str, ...] = ()
    things: str = "things"  # that `found` counts
    branch: str = ""  # what each of them has besides: "masks", "keypoints" or nothing

    def add(
        self,
        contract: Contract,
        exercised: Exercised,
        samples: Mapping[str, Sample] | None,
        batch: Batch,
        facts: Facts | None,
    ) -> None:
        """One image, a batch of one. exercised: by the reference's answer; facts: of the checkpoint, if
        known."""
        self.classes = tuple(contract.class_names)
        self.things, self.branch = exercised.things, exercised.branch
        self.found.update(exercised.by_class)
        known = knowledge_of(contract)
        self.counted = known.counted
        if samples is not None:
            self.inside.update(known.exercised(contract, samples, batch, facts))

    def lines(self) -> list[str]:
        """For people."""
        found = []
        if self.inside:
            counts = ", ".join(f"{level} {count}" for level, count in self.inside.items())
            found.append(f"{self.counted} by level: {counts}")
        count = sum(self.found.values())
        branch = f", each with its {self.branch}" if self.branch and count else ""
        found.append(f"{count} {self.things} of {len(self.found)} of {len(self.classes)} classes{branch}")
        return found

    def missing(self) -> list[str]:
        """What no image exercised."""
        unseen = [level for level, count in self.inside.items() if not count]
        lacking = [f"{self.counted} of {', '.join(unseen)}"] if unseen else []
        classes = len(self.classes) - len(self.found)
        lacking += [f"{classes} of {len(self.classes)} classes"] if classes else []
        return lacking

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            self.counted: dict(self.inside),
            self.things: dict(self.found),
            "classes": len(self.classes),
            "branch": self.branch,
            "not_exercised": self.missing(),
        }
