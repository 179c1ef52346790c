"""Comparisons as pages and the API ask for them: kept while both runs stay as they are, else computed by a worker."""

import hashlib
from collections.abc import Sequence

from django.db import models

from heliograph.datasets import queue
from heliograph.datasets.models import Comparison, Experiment, Result


def wanted(runs: Sequence[Experiment], score: str) -> list[Comparison]:
    """Return the comparison of each run but the first with the first; one whose `result` is {} is being computed."""
    found = [_wanted(runs[0], run, score) for run in runs[1:]]
    if any(not each.result and not each.error for each in found):
        queue.wake_worker()
    return found


def _wanted(baseline: Experiment, candidate: Experiment, score: str) -> Comparison:
    fingerprint = hashlib.sha256(f"{_state(baseline)}\n{_state(candidate)}".encode()).hexdigest()
    row, _ = Comparison.objects.get_or_create(
        baseline=baseline,
        candidate=candidate,
        score=score,
        defaults={"project_id": baseline.project_id, "fingerprint": fingerprint},
    )
    if row.fingerprint != fingerprint:
        row.fingerprint, row.result, row.error, row.computed_at = fingerprint, {}, "", None
        row.save()
    return row


def _state(run: Experiment) -> str:
    newest = Result.objects.filter(experiment=run).aggregate(newest=models.Max("pk"))["newest"]
    return f"{run.pk} {run.status} {run.done} {run.failed} {run.scored} {newest}"
