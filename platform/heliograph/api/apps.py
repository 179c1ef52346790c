"""The Django app of this room."""

import importlib

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Names the app."""

    name = "heliograph.api"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make the schema's extensions known."""
        importlib.import_module("heliograph.api.openapi")
