"""The Django app of this room."""

from django.apps import AppConfig


class EvalsConfig(AppConfig):
    """Names the app."""

    name = "heliograph.evals"
    default_auto_field = "django.db.models.BigAutoField"
