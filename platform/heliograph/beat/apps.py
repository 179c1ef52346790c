"""The Django app of this room."""

from django.apps import AppConfig


class BeatConfig(AppConfig):
    """Names the app."""

    name = "heliograph.beat"
    default_auto_field = "django.db.models.BigAutoField"
