"""Reading the log: what an admin of a project, or of its whole organisation, may see of it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from heliograph.accounts.models import Membership, Project, User
from heliograph.accounts.permissions import may_in
from heliograph.accounts.roles import Capability
from heliograph.audit.models import Entry

PAGE = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for: words that all occur, one way, days of UTC from one to another, both included."""

    words: str = ""
    via: str = ""
    since: date | None = None
    until: date | None = None


def entries(project: Project, reader: User | None, asked: Asked) -> QuerySet[Entry]:
    """Return what the reader may see, newest first: the project's entries.

    For an admin of the whole organisation also the organisation's own, those of its other projects, and what its
    members did to their own accounts. A reader of None is a key, which sees its project.
    """
    seen = Q(project_id=project.pk)
    if reader is not None and may_in(reader, project.organization, Capability.AUDIT):
        members = list(Membership.objects.filter(organization=project.organization_id).values_list("user", flat=True))
        seen |= Q(organization_id=project.organization_id) | Q(organization_id=None, actor_id__in=members)
    found = Entry.objects.filter(seen)
    for word in asked.words.lower().split()[:10]:
        found = found.filter(words__contains=word)
    if asked.via:
        found = found.filter(via=asked.via)
    if asked.since:
        found = found.filter(at__gte=datetime.combine(asked.since, time(), UTC))
    if asked.until:
        found = found.filter(at__lt=datetime.combine(asked.until + timedelta(days=1), time(), UTC))
    return found.order_by("-pk")


def written(entry: Entry) -> dict[str, Any]:
    """Return an entry as it is exported."""
    return {
        "id": entry.pk,
        "at": entry.at.isoformat(),
        "actor": entry.actor,
        "actor_id": entry.actor_id,
        "key_id": entry.key_id,
        "via": entry.via,
        "ip": entry.ip,
        "action": entry.action,
        "target": entry.target,
        "organization_id": entry.organization_id,
        "project_id": entry.project_id,
        "status": entry.status,
        "changes": entry.changes,
    }
