"""The Celery application: `celery -A heliograph worker`."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")

app = Celery("heliograph")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["heliograph.evals"])


@setup_logging.connect
def _keep_our_logs(**_: Any) -> None:
    """Leave logging as the settings made it; Celery would otherwise install its own format."""
    _ = settings.LOGGING
