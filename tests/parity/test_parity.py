"""Is the model that is deployed the model that was trained? Skipped unless told which: docs/parity.md."""

from __future__ import annotations

from maskrt.runtime.backends.open import Session
from maskrt.runtime.parity.recorded.bundle import Bundle
from maskrt.runtime.parity.report import Report, faults
from maskrt.runtime.tasks.rows import Count, Share


def test_no_stage_inside_is_out_of_tolerance(
    report: Report, reference: Session | Bundle, candidate: Session
) -> None:
    assert reference.has_stages, f"{reference.name}: cannot be looked into"
    assert candidate.has_stages, f"{candidate.name}: cannot be looked into; maskrt export --with-stages"
    assert report.stages.first is None, str(report.stages.first)


def test_every_instance_is_found_again(report: Report) -> None:
    summary = report.to_dict()["summary"]
    assert summary["instances"], "the reference finds nothing in these images: give others"
    lost = [row for row in report.results.rows if isinstance(row, (Count, Share))]
    assert faults(lost, report.results.images) == []


def test_scores_boxes_and_masks_are_within_tolerance(report: Report) -> None:
    assert report.failures == []
