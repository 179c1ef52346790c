"""Asking for work from a process that does not do it."""

from heliograph.beat.waking import wake

DELIVER = "heliograph.alerts.tasks.deliver"


def wake_worker() -> None:
    """Have messages sent soon."""
    wake(DELIVER, "messages")
