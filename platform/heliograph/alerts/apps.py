"""Alerts: rules, their alerts, channels, deliveries, silences."""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    """Names the app."""

    name = "heliograph.alerts"
    default_auto_field = "django.db.models.BigAutoField"
