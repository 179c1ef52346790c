"""The Django app of this room."""

from django.apps import AppConfig


class ConventionsConfig(AppConfig):
    """Names the app."""

    name = "heliograph.conventions"
    default_auto_field = "django.db.models.BigAutoField"
