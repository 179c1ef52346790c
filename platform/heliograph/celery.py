"""The Celery application: `celery -A heliograph worker`."""

import logging
import os
import threading
from importlib import import_module
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging, task_postrun, task_prerun, worker_process_init
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

from heliograph import telemetry

log = logging.getLogger(__name__)

# Jobs work in slices of minutes. The worker of `make run` is one process without children (pool solo), for which Celery
# enforces no limit of its own: a model or an endpoint that hangs would hold up every job behind it for good.
TASK_SECONDS = 7_200.0

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")

TRANSPORT_ALIASES["filesystem"] = "heliograph.message_files:Transport"

app = Celery("heliograph")
app.config_from_object("django.conf:settings", namespace="CELERY")

# By queue, as the settings route them. Those of evaluations need the extra `evaluators`, which others' image lacks.
TASK_MODULES = {
    settings.CELERY_TASK_DEFAULT_QUEUE: (
        "heliograph.accounts.tasks",
        "heliograph.events.tasks",
        "heliograph.evals.tasks",
        "heliograph.alerts.tasks",
        "heliograph.remap.tasks",
        "heliograph.tail.tasks",
        "heliograph.disk.tasks",
        "heliograph.annotation.tasks",
        "heliograph.exports.tasks",
        "heliograph.erasure.tasks",
        "heliograph.holds.tasks",
        "heliograph.dashboards.tasks",
    ),
    settings.EVALUATIONS_QUEUE: (
        "heliograph.evals.tasks",
        "heliograph.datasets.tasks",
        "heliograph.gates.tasks",
    ),
}


@celeryd_init.connect
def _load_tasks(options: dict[str, Any], **_: Any) -> None:
    """Import the tasks of a worker's queues: beat and the web process have no use for them.

    None of them brings torch before there is something to judge.
    """
    queues = options.get("queues") or list(TASK_MODULES)
    if unknown := set(queues) - set(TASK_MODULES):
        raise SystemExit(f"there is no queue {', '.join(sorted(unknown))}: there are {', '.join(TASK_MODULES)}")
    try:
        for module in {module for queue in queues for module in TASK_MODULES[queue]}:
            import_module(module)
    except ImportError as error:
        # Celery logs what a signal handler raises and goes on; a worker without tasks would only look alive.
        raise SystemExit(f"the worker's tasks cannot be imported: {error}") from error


@worker_process_init.connect
def _observe_ourselves(**_: Any) -> None:
    """In each process that runs tasks, since threads that send do not survive a fork; pool solo says so too."""
    telemetry.start("worker")


@setup_logging.connect
def _keep_our_logs(**_: Any) -> None:
    """Leave logging as the settings made it; Celery would otherwise install its own format."""
    _ = settings.LOGGING


_watches: dict[str, threading.Timer] = {}


@task_prerun.connect
def _watch(task_id: str, task: Any, **_: Any) -> None:
    """End this process where a task does not end; supervisord starts it again, and the work is found again."""
    watch = threading.Timer(TASK_SECONDS, _give_up, (task.name,))
    watch.daemon = True
    watch.start()
    _watches[task_id] = watch


@task_postrun.connect
def _stop_watching(task_id: str, **_: Any) -> None:
    if watch := _watches.pop(task_id, None):
        watch.cancel()


def _give_up(name: str) -> None:
    log.critical("%s has run for %d s: this worker ends, to be started again", name, TASK_SECONDS)
    logging.shutdown()
    # A thread that hangs in a library would not let the process end otherwise.
    os._exit(1)
