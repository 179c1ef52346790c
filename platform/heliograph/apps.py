"""The project-wide Django app: it registers the system checks."""

from django.apps import AppConfig


class HeliographConfig(AppConfig):
    """Registers what belongs to no single room."""

    name = "heliograph"
    label = "heliograph"

    def ready(self) -> None:
        from heliograph import checks  # noqa: F401, PLC0415  # registering needs the app registry to be ready
