"""Asking for a run of a gate."""

from heliograph.accounts.models import User
from heliograph.gates.models import Gate, GateRun, Job
from heliograph.gates.queue import wake_worker

# One person who clicks in anger, or one program in a loop, must not fill the queue.
MAX_WAITING = 20


class QueueFullError(Exception):
    """The project has MAX_WAITING runs waiting."""


def run_soon(gate: Gate, person: User | None) -> GateRun:
    """Queue a run of a gate and wake a worker. Raises QueueFullError."""
    open_states = [Job.Status.QUEUED, Job.Status.RUNNING]
    if GateRun.objects.filter(gate__project=gate.project_id, status__in=open_states).count() >= MAX_WAITING:
        raise QueueFullError(f"{MAX_WAITING} runs are waiting already. Try again when some are done.")
    run = gate.runs.create(requested_by=person)
    wake_worker()
    return run
