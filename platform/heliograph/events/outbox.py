"""Writing an event."""

import json
from datetime import timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.events.kinds import Kind
from heliograph.events.models import Event

# A webhook's reader fetches what is large over the API; 20 KB is also what Standard Webhooks advises as the most.
MAX_BODY_BYTES = 20_000
# Long enough to look back at over a month's end, and short enough for a project that judges every answer.
KEPT = timedelta(days=30)
# One project that has an event a second must not fill everybody's database: about the last day of such a project.
MOST_OF_A_PROJECT = 100_000


class UnknownKindError(ValueError):
    """A kind of event that nobody could ask for."""


class EventTooLargeError(ValueError):
    """An event whose body has more than MAX_BODY_BYTES as JSON."""


def record(project: Project, kind: str, body: dict[str, Any]) -> None:
    """Note that something happened, in the caller's transaction.

    `body` holds what JSON can, beside times, decimals and UUIDs, which become text; it names what happened and the ids
    by which the rest is fetched. Raises UnknownKindError, EventTooLargeError, TypeError for what is no JSON.
    """
    try:
        known = Kind(kind)
    except ValueError as error:
        raise UnknownKindError(f"{kind!r} is no kind of event; the kinds are {', '.join(Kind)}") from error
    # NaN would be stored by SQLite and refused by PostgreSQL and by every strict reader of the webhook.
    text = json.dumps(body, cls=DjangoJSONEncoder, ensure_ascii=False, allow_nan=False)
    if len(text.encode()) > MAX_BODY_BYTES:
        raise EventTooLargeError(f"The body of {kind} has more than {MAX_BODY_BYTES} bytes: send ids instead of texts.")
    Event.objects.create(project=project, kind=known.value, body=json.loads(text))


def remove_expired() -> int:
    """Remove what is older than KEPT, and of each project what is beyond the newest MOST_OF_A_PROJECT; return how many.

    Taken or not: an event that nobody took for a month is news to nobody.
    """
    removed, _ = Event.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    for project_id in Event.objects.order_by().values_list("project", flat=True).distinct():
        of_project = Event.objects.filter(project=project_id).order_by("-created_at")
        newest_beyond = of_project.values_list("created_at", flat=True)[MOST_OF_A_PROJECT : MOST_OF_A_PROJECT + 1]
        for moment in newest_beyond:
            removed += of_project.filter(created_at__lte=moment).delete()[0]
    return removed
