"""`heliograph login_link`: print a new one-time link for somebody who cannot sign in."""

from argparse import ArgumentParser
from typing import Any

import sesame.utils
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from heliograph.accounts.models import User


def link_for(user: User) -> str:
    """Return an address that signs the user in once, within an hour; any later sign-in makes it void."""
    return str(settings.BASE_URL + reverse("login-link") + sesame.utils.get_query_string(user))


class Command(BaseCommand):
    """Print the link."""

    help = "Print a one-time login link."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the user's name."""
        parser.add_argument("username", nargs="?", default="admin")

    def handle(self, *, username: str, **_: Any) -> None:
        """Print it, or say who exists."""
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            known = ", ".join(User.objects.order_by("username").values_list("username", flat=True)[:20])
            raise CommandError(f"There is no user {username!r}. There are: {known or 'none yet; run heliograph up'}.")
        self.stdout.write(link_for(user))
