"""What Celery runs for events."""

from celery import shared_task

from heliograph.events import outbox


@shared_task
def remove_expired_events() -> None:
    """Keep the outbox bounded."""
    outbox.remove_expired()
