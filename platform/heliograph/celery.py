"""The Celery application: `celery -A heliograph worker`."""

import os
from importlib import import_module
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")

app = Celery("heliograph")
app.config_from_object("django.conf:settings", namespace="CELERY")

TASK_MODULES = ("heliograph.evals.tasks", "heliograph.blobs.tasks", "heliograph.remap.tasks", "heliograph.tail.tasks")


@celeryd_init.connect
def _load_tasks(**_: Any) -> None:
    """Import the tasks in workers only: they bring torch, which beat and the web process have no use for."""
    try:
        for module in TASK_MODULES:
            import_module(module)
    except ImportError as error:
        # Celery logs what a signal handler raises and goes on; a worker without tasks would only look alive.
        raise SystemExit(f"the worker's tasks cannot be imported: {error}") from error


@setup_logging.connect
def _keep_our_logs(**_: Any) -> None:
    """Leave logging as the settings made it; Celery would otherwise install its own format."""
    _ = settings.LOGGING
