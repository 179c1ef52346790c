"""Events: the outbox of what happened."""

from django.apps import AppConfig


class EventsConfig(AppConfig):
    """Names the app."""

    name = "heliograph.events"
    default_auto_field = "django.db.models.BigAutoField"
