"""The project-wide Django app: it registers the system checks."""

import gc
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import pre_migrate


class HeliographConfig(AppConfig):
    """Registers what belongs to no single room."""

    name = "heliograph"
    label = "heliograph"

    def ready(self) -> None:
        # The Celery app must be current wherever work is queued; the checks register themselves.
        from heliograph import celery, checks  # noqa: F401, PLC0415  # needs the app registry to be ready

        pre_migrate.connect(_keep)


def _keep(**_: Any) -> None:
    """Spare what is loaded the garbage collections that thousands of rendered models cause."""
    gc.freeze()
