"""The Django app of this room."""

from django.apps import AppConfig


class AnnotationConfig(AppConfig):
    """Names the app."""

    name = "heliograph.annotation"
    default_auto_field = "django.db.models.BigAutoField"
