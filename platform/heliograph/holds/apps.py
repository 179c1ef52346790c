"""The Django app of this room."""

from django.apps import AppConfig


class HoldsConfig(AppConfig):
    """Names the app."""

    name = "heliograph.holds"
    default_auto_field = "django.db.models.BigAutoField"
