"""The Django app of this room."""

from django.apps import AppConfig


class ErasureConfig(AppConfig):
    """Names the app."""

    name = "heliograph.erasure"
    default_auto_field = "django.db.models.BigAutoField"
