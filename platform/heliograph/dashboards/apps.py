"""The Django app of this room."""

from django.apps import AppConfig


class DashboardsConfig(AppConfig):
    """Names the app."""

    name = "heliograph.dashboards"
    default_auto_field = "django.db.models.BigAutoField"
