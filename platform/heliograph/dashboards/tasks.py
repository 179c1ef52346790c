"""What Celery runs for pages."""

from celery import shared_task

from heliograph.accounts import forgotten
from heliograph.audit.models import Entry
from heliograph.audit.record import record


@shared_task(autoretry_for=(OSError,), max_retries=3, default_retry_delay=30)
def send_reset_link(typed: str, ip: str) -> None:
    """Mail a link to whoever a name or an address is of: by a worker, so that no page's time tells who is here."""
    for user in forgotten.meant_by(typed):
        if forgotten.send_link(user):
            record("login-forgotten", via=Entry.Via.PAGE, actor=user, ip=ip)
