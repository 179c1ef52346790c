"""What Celery runs. What is to be done stands in the database, so a lost message costs a delay and no more."""

import logging
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.alerts import deliver as outbox
from heliograph.alerts import low_scores, tell
from heliograph.alerts.evaluate import evaluate
from heliograph.alerts.models import Alert, Delivery, Transition
from heliograph.clickhouse.errors import StoreError
from heliograph.events.models import Event

logger = logging.getLogger(__name__)

# A year's worth of what fired, to look back at.
HISTORY = timedelta(days=366)


@shared_task
def evaluate_rules() -> None:
    """Judge every project's rules, write down who is to be told, and tell."""
    for project in Project.objects.filter(alert_rules__isnull=False).distinct():
        now = timezone.now()
        try:
            evaluate(project, now)
            low_scores.record_new(project, now)
        except StoreError:
            logger.warning("alerts of %s wait for the store", project.slug, exc_info=True)
        except Exception:  # a fault in one project's rules must not stop the others; its place stays where it was
            logger.exception("alerts of %s failed", project.slug)
        # Silences end and repeats come due whether the store answers or not.
        tell.tell(project, now)
    _deliver()


@shared_task
def deliver() -> None:
    """Send what is due."""
    _deliver()


@shared_task
def remove_old() -> None:
    """Keep deliveries and the history of alerts bounded."""
    outbox.remove_expired()
    oldest = int((timezone.now() - HISTORY).timestamp()) // 60
    Transition.objects.filter(at__lt=oldest).delete()
    Alert.objects.filter(state="ok", is_told=False, since__lt=oldest).delete()


def _deliver() -> None:
    for project in Project.objects.filter(pk__in=Event.objects.filter(taken_at=None).values("project")):
        while tell.take_events(project, timezone.now()):
            pass
    if Delivery.objects.filter(status=Delivery.Status.WAITING, next_at__lte=timezone.now()).exists():
        outbox.deliver_due()
