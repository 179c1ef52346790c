"""The project-wide Django app: it registers the system checks."""

from django.apps import AppConfig


class HeliographConfig(AppConfig):
    """Registers what belongs to no single room."""

    name = "heliograph"
    label = "heliograph"

    def ready(self) -> None:
        # The Celery app must be current wherever work is queued; the checks register themselves.
        from heliograph import celery, checks  # noqa: F401, PLC0415  # needs the app registry to be ready
