"""Sending what stands in the outbox.

A message is leased before it is sent. A worker that is killed in the middle leaves the lease to end, and the message is
sent again with the same id: at least once, and the receiver tells a duplicate by it. What fails is tried again for over
six hours, then it is dead: it stays, with what was answered, for a person to send again.
"""

import json
import logging
import math
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from heliograph.accounts.secrets import SecretLostError, decrypt
from heliograph.alerts.channels import Kind
from heliograph.alerts.models import Attempt, Channel, Delivery
from heliograph.alerts.transports.kinds import KINDS
from heliograph.alerts.transports.message import Message, message_of
from heliograph.alerts.transports.outcome import Outcome

logger = logging.getLogger(__name__)

# Well over the longest that a try may take; a worker that was killed costs this much.
LEASE = timedelta(seconds=60)
# 10 s, doubled up to an hour, each 25 % more or less: the seventeenth try comes 6.3 to 10.5 hours after the first.
FIRST_WAIT, LONGEST_WAIT, MAX_ATTEMPTS, JITTER = 10.0, 3_600.0, 17, 0.25
# Of different channels: one that hangs holds up its own messages only.
AT_ONCE = 8
KEPT = timedelta(days=30)
# Of each project, beyond those of the last days that nobody has seen to.
MOST_KEPT = 20_000


def deliver_due(now: Callable[[], datetime] = timezone.now, seconds: float = 50.0) -> int:
    """Send what is due for so long; return how many messages were tried."""
    deadline, tried = time.monotonic() + seconds, 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while time.monotonic() < deadline:
            claimed = _claim(now())
            if not claimed:
                break
            # The threads send; the database is spoken to from here only.
            outcomes = pool.map(_send, [(delivery.channel, delivery) for delivery in claimed])
            for delivery, outcome in zip(claimed, outcomes, strict=True):
                record(delivery, outcome, now())
            tried += len(claimed)
    return tried


def _claim(now: datetime) -> list[Delivery]:
    """Lease the first due message of some channels; messages of one topic keep their order."""
    free = Q(leased_until=None) | Q(leased_until__lt=now)
    # Ids of a topic are compared too, for what was written in the same microsecond.
    sooner = Q(created_at__lt=OuterRef("created_at")) | Q(created_at=OuterRef("created_at"), pk__lt=OuterRef("pk"))
    earlier = Delivery.objects.filter(
        sooner, channel=OuterRef("channel"), topic=OuterRef("topic"), status=Delivery.Status.WAITING
    )
    due = (
        Delivery.objects.filter(free, status=Delivery.Status.WAITING, next_at__lte=now, channel__is_paused=False)
        .exclude(Q(~Q(topic="")) & Exists(earlier))
        .order_by("next_at", "created_at")
        .select_related("channel")
    )
    claimed: dict[int, Delivery] = {}
    for delivery in due[: AT_ONCE * 10]:
        if len(claimed) < AT_ONCE and delivery.channel_id not in claimed:
            taken = Delivery.objects.filter(free, pk=delivery.pk, status=Delivery.Status.WAITING)
            if taken.update(leased_until=now + LEASE, attempts=F("attempts") + 1):
                delivery.attempts += 1
                claimed[delivery.channel_id] = delivery
    return list(claimed.values())


def _send(what: tuple[Channel, Delivery]) -> Outcome:
    channel, delivery = what
    try:
        return KINDS[Kind(channel.kind)].deliver(config_of(channel), message(channel, delivery))
    except SecretLostError as error:
        return Outcome(is_delivered=False, error=str(error))
    except Exception as error:  # a fault of ours in one message must not stop the others; it is shown with the message
        logger.exception("message %s cannot be sent", delivery.message_id)
        return Outcome(is_delivered=False, error=f"Heliograph could not send this message ({type(error).__name__}).")


def message(channel: Channel, delivery: Delivery) -> Message:
    """Return a delivery's message in the channel's words."""
    return message_of(delivery.message_id, delivery.payload, title=channel.title_template, text=channel.text_template)


def config_of(channel: Channel) -> dict[str, str]:
    """Return all that was entered of a channel, secrets too. Raises SecretLostError."""
    found: dict[str, str] = dict(channel.settings)
    if channel.secret:
        found |= json.loads(decrypt(channel.secret))
    return found


def record(delivery: Delivery, outcome: Outcome, now: datetime) -> None:
    """Write down what came of a try, and what comes next."""
    is_last = outcome.is_gone or delivery.attempts >= MAX_ATTEMPTS
    with transaction.atomic():
        Attempt.objects.create(
            delivery=delivery,
            at=now,
            seconds=outcome.seconds,
            status=outcome.status,
            answer=outcome.answer,
            error=outcome.error[:500],
        )
        of_this = Delivery.objects.filter(pk=delivery.pk)
        if outcome.is_delivered:
            of_this.update(status=Delivery.Status.DELIVERED, finished_at=now, leased_until=None)
        elif is_last:
            of_this.update(status=Delivery.Status.DEAD, finished_at=now, leased_until=None)
        else:
            again = now + timedelta(seconds=wait(delivery.attempts, outcome.retry_after_s))
            of_this.update(next_at=again, leased_until=None)
        if outcome.is_gone:
            why = "The receiver answered 410 Gone: it takes no messages any more."
            Channel.objects.filter(pk=delivery.channel_id).update(is_paused=True, paused_because=why)


def wait(attempts: int, asked_s: float | None = None) -> float:
    """Return the seconds until the next try; a receiver may ask for more, up to the longest wait."""
    usual = min(math.ldexp(FIRST_WAIT, attempts - 1), LONGEST_WAIT)
    jittered = usual * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # spreads load; nobody gains by guessing it
    return max(jittered, min(asked_s or 0.0, LONGEST_WAIT))


def resend(delivery: Delivery) -> None:
    """Send a message again from the first try on, because a person asks for it; the id stays."""
    Delivery.objects.filter(pk=delivery.pk).exclude(status=Delivery.Status.WAITING).update(
        status=Delivery.Status.WAITING, attempts=0, next_at=timezone.now(), leased_until=None, finished_at=None
    )


def remove_expired() -> None:
    """Keep the outbox bounded; what waits is never removed."""
    Delivery.objects.filter(created_at__lt=timezone.now() - KEPT).exclude(status=Delivery.Status.WAITING).delete()
    for project in Delivery.objects.order_by().values_list("project", flat=True).distinct():
        finished = Delivery.objects.filter(project=project).exclude(status=Delivery.Status.WAITING)
        for moment in finished.order_by("-created_at").values_list("created_at", flat=True)[MOST_KEPT : MOST_KEPT + 1]:
            finished.filter(created_at__lte=moment).delete()
