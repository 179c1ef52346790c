"""Accounts: organisations, projects, members, API keys, how people sign in."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Names the app."""

    name = "heliograph.accounts"
    default_auto_field = "django.db.models.BigAutoField"
