"""`manage.py rotate_secrets`: encrypt every stored secret with the newest key."""

from typing import Any

from allauth.mfa.models import Authenticator
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from heliograph.accounts.secrets import SecretLostError, rotated, secret_columns
from heliograph.audit.record import recorded_command

# By what name allauth keeps the secret of each kind.
_KEPT_AS = {Authenticator.Type.TOTP: "secret", Authenticator.Type.RECOVERY_CODES: "seed"}


class Command(BaseCommand):
    """Goes over all columns of secrets; may be run again, and while the platform runs."""

    help = "Encrypt every stored secret with the first of HELIOGRAPH_SECRET_KEYS, so that the other keys can go."

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate, then say how many; ends with an error where some could not be read."""
        with recorded_command("rotate_secrets"):
            done, lost = _rotate()
            of_factors, lost_factors = _rotate_factors()
        self.stdout.write(f"{done + of_factors} secrets are encrypted with the newest key.")
        if lost or lost_factors:
            raise CommandError("No key opens these; enter them again: " + ", ".join(lost + lost_factors))


def _rotate() -> tuple[int, list[str]]:
    """Return how many secrets are encrypted anew, and which could not be read."""
    done, lost = 0, []
    for model, name in secret_columns():
        rows = model._default_manager.exclude(**{name: ""})
        for key, stored in rows.values_list("pk", name).iterator():
            try:
                fresh = rotated(stored)
            except SecretLostError:
                lost.append(f"{model._meta.label}.{name} of {key}")
                continue
            # Compare-and-set: what somebody enters meanwhile is newer than this.
            done += model._default_manager.filter(pk=key, **{name: stored}).update(**{name: fresh})
    return done, lost


def _rotate_factors() -> tuple[int, list[str]]:
    """Do the same with the secrets of second factors, which allauth keeps in a column of several things."""
    done, lost = 0, []
    for key in Authenticator.objects.filter(type__in=_KEPT_AS).values_list("pk", flat=True).iterator():
        with transaction.atomic():  # using a recovery code writes the same column
            row = Authenticator.objects.select_for_update().filter(pk=key).first()
            if row is None:
                continue
            name = _KEPT_AS[row.type]
            try:
                row.data[name] = rotated(row.data[name])
            except SecretLostError:
                lost.append(f"the {row.get_type_display()} of {row.user}")
                continue
            row.save(update_fields=["data"])
            done += 1
    return done, lost
