"""`heliograph keys`: the API keys of this installation's projects, on the machine that holds its database."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from heliograph.accounts.models import ApiKey, Project
from heliograph.accounts.roles import USUAL_SCOPES, Scope
from heliograph.audit.record import recorded_command
from heliograph.cli.frame.output import Output

_COLUMNS = {
    "id": "Id",
    "project": "Project",
    "name": "Name",
    "hint": "Begins with",
    "scopes": "For",
    "created_at": "Created",
    "last_used_at": "Last used",
    "expires_at": "Ends",
    "revoked_at": "Revoked",
}


class Command(BaseCommand):
    """List, create and revoke keys."""

    help = "List, create and revoke API keys of projects, in this installation's database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to do."""
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="list keys; of each its first characters")
        listing.add_argument("--project", default="", help="slug of one project")
        create = actions.add_parser("create", help="create a key and print it, once")
        create.add_argument("name", help="who uses it")
        create.add_argument("--project", default="default", help="slug of the project")
        create.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            help=f"what it is for; again for more ({', '.join(USUAL_SCOPES)} without it)",
        )
        create.add_argument("--expires-days", type=int, default=0, choices=range(3_651), metavar="DAYS")
        revoke = actions.add_parser("revoke", help="close a key at once")
        revoke.add_argument("id", type=int)
        for each in (listing, create, revoke):
            each.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *, action: str, as_json: bool, **options: Any) -> None:
        """Do it. Raises CommandError for what does not exist."""
        output = Output(as_json)
        if action == "list":
            keys = ApiKey.objects.select_related("project").order_by("project__slug", "created_at")
            if options["project"]:
                keys = keys.filter(project=_project(options["project"]))
            output.rows([_row(key) for key in keys], _COLUMNS, empty="No key yet: heliograph keys create NAME")
        elif action == "create":
            project = _project(options["project"])
            expires = timezone.now() + timedelta(days=options["expires_days"]) if options["expires_days"] else None
            with recorded_command("keys create", project=project):
                key, secret = ApiKey.issue(
                    project, options["name"][:200], scopes=options["scope"] or USUAL_SCOPES, expires_at=expires
                )
            if as_json:
                output.json({**_row(key), "key": secret})
            output.say(f"{secret}\nIt is shown this once; HELIOGRAPH_API_KEY takes it.")
        else:
            key_or_none = ApiKey.objects.select_related("project").filter(pk=options["id"]).first()
            if key_or_none is None:
                raise CommandError(f"There is no key {options['id']}; heliograph keys list shows them.")
            if key_or_none.revoked_at is None:
                with recorded_command("keys revoke", project=key_or_none.project):
                    key_or_none.revoke()
            if as_json:
                output.json(_row(key_or_none))
            output.say(f"{key_or_none} is revoked.")


def _project(slug: str) -> Project:
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        known = ", ".join(Project.objects.values_list("slug", flat=True)[:20])
        raise CommandError(f"There is no project {slug!r}. There are: {known or 'none yet; run heliograph up'}.")
    return project


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.pk,
        "project": key.project.slug,
        "name": key.name,
        "hint": key.hint,
        "scopes": key.scopes,
        "created_at": key.created_at.isoformat(),
        "last_used_at": key.last_used_at.isoformat() if key.last_used_at else None,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }
