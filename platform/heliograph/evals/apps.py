"""The Django app of this room."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_save


class EvalsConfig(AppConfig):
    """Names the app, and gives each new project its first evaluation rule."""

    name = "heliograph.evals"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hear of new projects, and make the kinds of jobs of this room known."""
        from heliograph.evals import jobs  # noqa: PLC0415  # models are not there before the apps are ready

        jobs.register_own()
        post_save.connect(_new_project, sender="accounts.Project", dispatch_uid="evals.first_rule")


def _new_project(instance: Any, created: bool, raw: bool = False, **_: Any) -> None:
    from heliograph.evals.models import first_rule  # noqa: PLC0415  # models are not there before the apps are ready

    if created and not raw:
        first_rule(instance)
