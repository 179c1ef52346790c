"""The Django app of this room."""

from django.apps import AppConfig


class ExportsConfig(AppConfig):
    """Names the app."""

    name = "heliograph.exports"
    default_auto_field = "django.db.models.BigAutoField"
