"""Who works on a row: one process at a time, told from one that died, and from one that only was slow.

A holder renews its lease while it works. A holder that lost its lease, because it stood still for too long, notices at
its next change: each change names the claim that it is made under.
"""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from django.db import OperationalError, connection, models
from django.utils import timezone

logger = logging.getLogger(__name__)

# A holder renews every quarter of this; what it held is taken over after so long without a sign of life.
LEASE = timedelta(minutes=2)


class LostClaimError(Exception):
    """Another worker has taken the row over; what this one did since is done again there, under the same keys."""


def _started(pid: int) -> str:
    """Return when a process of this machine was started, in the kernel's clock ticks; '' where there is none."""
    try:
        # Behind the command in brackets, which may hold spaces: the 20th field.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def new_claim() -> str:
    """Return a name for a claim of this process that no other claim has."""
    return f"{socket.gethostname()[:60]}/{os.getpid()}/{_started(os.getpid())}/{secrets.token_hex(8)}"


def is_dead(claim: str) -> bool:
    """Whether the process that made a claim is known to be gone: it was one of this machine, and is there no more.

    Of a process on another machine, or where there is no /proc, nothing is known, and its lease must run out.
    """
    host, _, rest = claim.partition("/")
    pid, _, rest = rest.partition("/")
    started = rest.partition("/")[0]
    return bool(started) and host == socket.gethostname()[:60] and _started(int(pid)) != started


@contextmanager
def renewed(renew: Callable[[], object], lease: timedelta, what: str) -> Iterator[None]:
    """Call `renew` from a thread four times a lease, while the block runs; `what` is held, for the log."""
    done = threading.Event()

    def again() -> None:
        try:
            while not done.wait(lease.total_seconds() / 4):
                try:
                    renew()
                except OperationalError:  # a busy or absent database; three more tries fit into the lease
                    logger.warning("the lease of %s could not be renewed", what, exc_info=True)
        finally:
            connection.close()

    thread = threading.Thread(target=again, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Claimed(models.Model):
    """A row that one worker at a time holds."""

    leased_until = models.DateTimeField(null=True, blank=True)
    claim = models.CharField(max_length=120, default="", blank=True)

    class Meta:
        abstract = True

    def take(self, only: models.Q | None = None, **also: Any) -> bool:
        """Hold the row, and change `also` in the same statement; False where a living worker holds it.

        `only` says what else must be true of the row.

        Compare-and-set on the claim as it was read, so that of two workers exactly one goes on.
        """
        manager = type(self)._default_manager
        now = timezone.now()
        was = manager.filter(pk=self.pk).values_list("claim", "leased_until").first()
        if was is None or (was[1] is not None and was[1] > now and not is_dead(was[0])):
            return False
        name = new_claim()
        same = models.Q(pk=self.pk, claim=was[0], leased_until=was[1])
        taken = manager.filter(same & only if only else same).update(claim=name, leased_until=now + LEASE, **also)
        if taken:
            self.refresh_from_db()
        return bool(taken) and self.claim == name

    def change(self, **values: Any) -> None:
        """Change columns and renew the lease. Raises LostClaimError where another worker holds the row by now."""
        values["leased_until"] = timezone.now() + LEASE
        if not type(self)._default_manager.filter(pk=self.pk, claim=self.claim).update(**values):
            raise LostClaimError(f"{self} was taken over by another worker")
        for name, value in values.items():
            setattr(self, name, value)

    def let_go(self, **also: Any) -> bool:
        """Let the next worker have the row at once; False where it has it already."""
        mine = type(self)._default_manager.filter(pk=self.pk, claim=self.claim)
        return bool(mine.update(leased_until=None, **also))

    @contextmanager
    def kept(self) -> Iterator[Self]:
        """Renew the lease from a thread, while the block computes for longer than a lease lasts."""
        mine = type(self)._default_manager.filter(pk=self.pk, claim=self.claim)
        with renewed(lambda: mine.update(leased_until=timezone.now() + LEASE), LEASE, str(self)):
            yield self
