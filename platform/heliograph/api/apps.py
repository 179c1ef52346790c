"""The Django app of this room."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Names the app."""

    name = "heliograph.api"
    default_auto_field = "django.db.models.BigAutoField"
