"""The project-wide Django app: it registers the system checks."""

from django.apps import AppConfig


class HeliographConfig(AppConfig):
    """Registers what belongs to no single room."""

    name = "heliograph"
    label = "heliograph"

    def ready(self) -> None:
        # Registering needs the app registry to be ready; the Celery app must be current wherever work is queued.
        from heliograph import celery, checks  # noqa: F401, PLC0415
