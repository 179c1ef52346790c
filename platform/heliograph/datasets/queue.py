"""Asking a worker for work from a process that does not do it: evaluators bring torch, and pages must not load it."""

from heliograph.beat.waking import wake

WORK_OFF = "heliograph.datasets.tasks.work_off"


def wake_worker() -> None:
    """Have experiments worked on soon."""
    wake(WORK_OFF, "experiments")
