"""What people keep for themselves and for each other: views of lists, and dashboards."""

from django.apps import AppConfig


class SavedConfig(AppConfig):
    """Saved views and dashboards."""

    name = "heliograph.saved"
