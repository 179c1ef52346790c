"""The Django app of the audit log."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in


class AuditConfig(AppConfig):
    """Names the app and listens to what is saved."""

    name = "heliograph.audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Listen."""
        from heliograph.audit import changes, middleware  # noqa: PLC0415  # models are there from here on

        changes.listen()
        user_logged_in.connect(middleware.note_sign_in, dispatch_uid="audit.sign_in")
