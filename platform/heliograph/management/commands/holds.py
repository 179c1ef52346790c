"""`heliograph holds`: legal holds of this installation's projects, on the machine that holds its database."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime

from heliograph.accounts.models import Project
from heliograph.audit.record import recorded_command
from heliograph.cli.frame.output import Output
from heliograph.holds import asking
from heliograph.holds.asking import CannotHold
from heliograph.holds.models import Hold

_WHO = "somebody at the machine"
_COLUMNS = {
    "id": "Id",
    "project": "Project",
    "state": "State",
    "kind": "What",
    "subject": "Which",
    "traces": "Traces",
    "reason": "Reason",
    "placed_by": "By",
    "placed_at": "Placed",
    "lifted_at": "Lifted",
}
# Of a list; the API pages through all.
_SHOWN = 500


class Command(BaseCommand):
    """List, place and lift legal holds."""

    help = "List, place and lift legal holds of projects, in this installation's database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to do."""
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="list holds, newest first")
        listing.add_argument("--words", default="", help="of a reason, a person or an id")
        place = actions.add_parser("place", help="have what is stored of some traces stay")
        place.add_argument("kind", choices=Hold.Kind.values)
        place.add_argument("subject", help="ids of traces by spaces, the id of a session or user, or a filter")
        place.add_argument("--reason", required=True)
        place.add_argument("--start", type=_moment, default=None, help="of a filter: RFC 3339, such as 2026-01-31")
        place.add_argument("--end", type=_moment, default=None, help="of a filter, excluded")
        for each in (listing, place):
            each.add_argument("--project", default="default", help="slug of the project")
        lift = actions.add_parser("lift", help="let what is held go in its own time")
        lift.add_argument("id", type=int)
        lift.add_argument("--reason", required=True)
        for each in (listing, place, lift):
            each.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *, action: str, as_json: bool, **options: Any) -> None:
        """Do it. Raises CommandError for what does not exist or cannot be."""
        output = Output(as_json)
        try:
            if action == "list":
                found = asking.found(_project(options["project"]), options["words"][:200])
                output.rows(
                    [_row(hold) for hold in found.select_related("project")[:_SHOWN]], _COLUMNS, empty="No hold."
                )
                return
            hold = _place(options) if action == "place" else _lift(options)
        except CannotHold as error:
            raise CommandError(str(error)) from error
        if as_json:
            output.json(_row(hold))
        output.say(f"Hold {hold.pk} is {hold.get_state_display()}.")


def _place(options: dict[str, Any]) -> Hold:
    project = _project(options["project"])
    times = {"start": options["start"], "end": options["end"]}
    with recorded_command("holds place", project=project, reason=options["reason"]):
        return asking.place(project, options["kind"], options["subject"], options["reason"], _WHO, **times)


def _lift(options: dict[str, Any]) -> Hold:
    hold = Hold.objects.select_related("project").filter(pk=options["id"]).first()
    if hold is None:
        raise CommandError(f"There is no hold {options['id']}; heliograph holds list shows them.")
    with recorded_command("holds lift", project=hold.project, hold=hold.pk, reason=options["reason"]):
        asking.lift(hold, options["reason"], _WHO)
    return hold


def _moment(text: str) -> datetime:
    found = parse_datetime(text)
    if found is None:
        raise ValueError(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _project(slug: str) -> Project:
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        known = ", ".join(Project.objects.values_list("slug", flat=True)[:20])
        raise CommandError(f"There is no project {slug!r}. There are: {known or 'none yet; run heliograph up'}.")
    return project


def _row(hold: Hold) -> dict[str, Any]:
    return {
        "id": hold.pk,
        "project": hold.project.slug,
        **{
            name: getattr(hold, name)
            for name in ("state", "kind", "subject", "traces", "absent", "reason", "placed_by")
        },
        "placed_at": hold.placed_at.isoformat(),
        "lifted_at": hold.lifted_at.isoformat() if hold.lifted_at else None,
    }
