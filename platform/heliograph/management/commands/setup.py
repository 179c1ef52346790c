"""`heliograph setup`: what has to be there before the other processes, once an installation and new version."""

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from heliograph import env
from heliograph.accounts.bootstrap import FirstUser, ensure_default_project, ensure_first_user, ensure_own_project
from heliograph.clickhouse import client, errors

# A store with years of data opens its parts before it answers.
STORE_START_SECONDS = 120


class Command(BaseCommand):
    """Migrate both databases and make the first project and user. May run again at any time."""

    help = "Bring both databases up to this version; make the first project and user where there are none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--accept-rewrites", action="store_true", help="as of `heliograph migrate`")
        parser.add_argument(
            "--own-key",
            action="store_true",
            help="make HELIOGRAPH_SELF_TELEMETRY_KEY a key of this installation's own project",
        )

    def handle(self, *, accept_rewrites: bool, own_key: bool, **_: Any) -> None:
        """Do it. Raises CommandError where the store does not answer, or the key is too short."""
        call_command("migrate", interactive=False, verbosity=0)
        first = prepare(accept_rewrites=accept_rewrites)
        if own_key and settings.SELF_TELEMETRY and settings.SELF_TELEMETRY_KEY:
            try:
                ensure_own_project(settings.SELF_TELEMETRY_KEY)
            except ValueError as error:
                raise CommandError(f"HELIOGRAPH_SELF_TELEMETRY_KEY {error}") from error
        self.stdout.write(f"Both databases are up to date. Sign in as {first.user.username}.")
        if first.password:
            self.stdout.write(f"Password: {first.password}")


def prepare(*, accept_rewrites: bool = False) -> FirstUser:
    """Wait for the store, migrate it, and return the first user. Raises CommandError."""
    wait_for_store()
    call_command("migrate_store", verbosity=0, accept_rewrites=accept_rewrites)
    ensure_default_project()
    first = ensure_first_user(env.text("HELIOGRAPH_ADMIN_PASSWORD"))
    if settings.SELF_TELEMETRY and not settings.SELF_TELEMETRY_KEY:
        ensure_own_project()
    return first


def wait_for_store() -> None:
    """Return when the store answers. Raises CommandError."""
    deadline = time.monotonic() + STORE_START_SECONDS
    while True:
        try:
            client.ping()
        except errors.Retryable as error:
            if time.monotonic() > deadline:
                raise CommandError(f"the store did not answer within {STORE_START_SECONDS} s: {error}") from error
            time.sleep(0.2)
        else:
            return
