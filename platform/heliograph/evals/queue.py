"""Asking for work from a process that does not do it: the pages must not load torch to queue a check."""

from heliograph.beat.waking import wake

WORK_OFF_CHECKS = "heliograph.evals.tasks.work_off_checks"
JUDGE_NEW_SPANS = "heliograph.evals.tasks.score_new_spans"


def wake_worker() -> None:
    """Have queued checks worked off soon."""
    wake(WORK_OFF_CHECKS, "checks")


def wake_judges() -> None:
    """Have new spans judged soon."""
    wake(JUDGE_NEW_SPANS, "new spans")
