"""Asking for work from a process that does not do it: the pages must not load the statistics to queue a run."""

from heliograph.beat.waking import wake

WORK_OFF = "heliograph.gates.tasks.work_off"


def wake_worker() -> None:
    """Have queued runs and looks done soon."""
    wake(WORK_OFF, "runs and looks")
