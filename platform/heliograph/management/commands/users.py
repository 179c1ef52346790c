"""`heliograph users`: the people of this installation, on the machine that holds its database."""

import secrets
from argparse import ArgumentParser
from typing import Any

from allauth.mfa.models import Authenticator
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from heliograph.accounts import people
from heliograph.accounts.models import Membership, Organization, User
from heliograph.accounts.roles import Role
from heliograph.accounts.sessions import end_others
from heliograph.audit.record import recorded_command
from heliograph.cli.frame.output import Output
from heliograph.management.commands.login_link import link_for

_COLUMNS = {
    "username": "User",
    "email": "E-mail",
    "organizations": "Organizations",
    "is_active": "Active",
    "last_login_at": "Last sign-in",
}


class Command(BaseCommand):
    """List, create, deactivate and activate people; switch off a second factor that was lost."""

    help = "List, create and deactivate people, in this installation's database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to do."""
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="list people with their organizations and roles")
        create = actions.add_parser("create", help="create somebody and print a one-time link to sign in")
        create.add_argument("username")
        create.add_argument("--email", default="")
        create.add_argument("--organization", default="", help="its name; the only one without it")
        create.add_argument("--role", choices=Membership.Role.values, default=Membership.Role.VIEWER)
        deactivate = actions.add_parser("deactivate", help="let somebody in no more")
        activate = actions.add_parser("activate", help="let somebody in again")
        factor_off = actions.add_parser(
            "second-factor-off",
            help="let somebody sign in without the second factor that they lost; ends their sessions",
        )
        for each in (deactivate, activate, factor_off):
            each.add_argument("username")
        for each in (listing, create, deactivate, activate, factor_off):
            each.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *, action: str, as_json: bool, **options: Any) -> None:
        """Do it. Raises CommandError for what does not exist or exists already."""
        output = Output(as_json)
        if action == "list":
            everybody = User.objects.order_by("username").prefetch_related("membership_set__organization")
            output.rows([_row(user) for user in everybody], _COLUMNS)
            return
        if action == "create":
            with recorded_command("users create"):
                user = _create(options)
            link = link_for(user)
            if as_json:
                output.json({**_row(user), "login_link": link})
            output.say(f"{user.username} may sign in once, within an hour, and set a password:\n{link}")
            return
        user = _user(options["username"])
        if action == "second-factor-off":
            with recorded_command("users second-factor-off"):
                _switch_factor_off(user)
            if as_json:
                output.json(_row(user))
            output.say(f"{user.username} signs in without a second factor, and may switch a new one on.")
            return
        user.is_active = action == "activate"
        with recorded_command(f"users {action}"):
            user.save(update_fields=["is_active"])
        if as_json:
            output.json(_row(user))
        output.say(f"{user.username} is {'active' if user.is_active else 'let in no more'}.")


def _create(options: dict[str, Any]) -> User:
    organization = _organization(options["organization"])
    # A password nobody knows, and not none: without a usable one a person could not set another.
    password = secrets.token_urlsafe(32)
    try:
        return people.create(organization, options["username"], options["email"], password, Role(options["role"]))
    except people.PeopleError as error:
        raise CommandError(str(error)) from error


@transaction.atomic
def _switch_factor_off(user: User) -> None:
    Authenticator.objects.filter(user=user).delete()
    end_others(user, None)


def _organization(name: str) -> Organization:
    found = list(Organization.objects.filter(name=name) if name else Organization.objects.all()[:2])
    if len(found) != 1:
        known = ", ".join(Organization.objects.order_by("name").values_list("name", flat=True)[:20])
        raise CommandError(f"Name one organization by --organization. There are: {known or 'none; run heliograph up'}.")
    return found[0]


def _user(username: str) -> User:
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"There is no user {username!r}; heliograph users list shows them.")
    return user


def _row(user: User) -> dict[str, Any]:
    places = [f"{each.organization.name} ({each.role})" for each in user.membership_set.all()]
    return {
        "username": user.username,
        "email": user.email,
        "organizations": places,
        "is_active": user.is_active,
        "last_login_at": user.last_login.isoformat() if user.last_login else None,
    }
