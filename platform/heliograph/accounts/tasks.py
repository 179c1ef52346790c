"""What Celery runs for accounts."""

from celery import shared_task
from django.core.management import call_command


@shared_task
def remove_expired_sessions() -> None:
    """Remove sessions that ended: Django keeps their rows until somebody asks."""
    call_command("clearsessions")
