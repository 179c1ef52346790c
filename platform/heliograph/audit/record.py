"""Writing the log: of a request (audit/middleware.py), or of a command that says what it does."""

import getpass
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from heliograph.accounts.models import ApiKey, Organization, Project, User
from heliograph.audit.changes import collected
from heliograph.audit.models import Entry


def record(
    action: str,
    *,
    via: Entry.Via,
    actor: User | ApiKey | str,
    project: Project | None = None,
    organization: Organization | None = None,
    ip: str = "",
    status: int = 0,
    target: Mapping[str, Any] | None = None,
    changes: list[dict[str, Any]] | None = None,
) -> Entry:
    """Add an entry."""
    named = {name: str(value)[:200] for name, value in (target or {}).items()}
    who = f"key {actor}" if isinstance(actor, ApiKey) else str(actor)
    words = [who, action, ip, *named.values(), *(str(each.get("name", "")) for each in changes or [])]
    owner_id = organization.pk if organization else project.organization_id if project else None
    return Entry.objects.create(
        actor=who[:200],
        actor_id=actor.pk if isinstance(actor, User) else None,
        key_id=actor.pk if isinstance(actor, ApiKey) else None,
        via=via,
        ip=ip,
        action=action[:100],
        target=named,
        organization_id=owner_id,
        project_id=project.pk if project else None,
        status=status,
        changes=changes or [],
        words=" ".join(words).lower()[:4_000],
    )


@contextmanager
def recorded_command(action: str, *, project: Project | None = None, **target: Any) -> Iterator[None]:
    """Add an entry of what a command did inside, by the name of the machine's user; of one that failed, none."""
    with collected() as changes:
        yield
    record(
        action,
        via=Entry.Via.COMMAND,
        actor=f"{_user_of_the_machine()} at the machine",
        project=project,
        target=target,
        changes=changes,
    )


def _user_of_the_machine() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        return "somebody"
