"""The Django app of this room."""

from django.apps import AppConfig


class ScrapeConfig(AppConfig):
    """Names the app."""

    name = "heliograph.scrape"
    default_auto_field = "django.db.models.BigAutoField"
