"""The rules of a project: what is blanked before it is stored, and what is kept."""

from django.apps import AppConfig


class RulesConfig(AppConfig):
    """Redaction and sampling rules, pinned traces."""

    name = "heliograph.rules"
