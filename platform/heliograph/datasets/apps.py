"""The Django app of this room."""

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Names the app."""

    name = "heliograph.datasets"
    default_auto_field = "django.db.models.BigAutoField"
