"""The Django app of this room."""

from django.apps import AppConfig


class GatesConfig(AppConfig):
    """Names the app."""

    name = "heliograph.gates"
    default_auto_field = "django.db.models.BigAutoField"
