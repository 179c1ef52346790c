"""The one table of permissions: what each role of a person, and each scope of a key, may do.

Pages, API, command line and ingest all ask `accounts.permissions`, which reads this table and nothing else.
"""

from enum import StrEnum
from typing import Final

from django.db import models


class Capability(StrEnum):
    """What can be allowed; a view says which of these it needs (accounts/doors.py)."""

    VIEW = "view"
    SEND = "send"
    SCORE = "score"
    ANNOTATE = "annotate"
    EDIT = "edit"
    CONFIGURE = "configure"
    LIMIT = "limit"
    PEOPLE = "people"
    AUDIT = "audit"
    HOLD = "hold"


MEANING: Final[dict[Capability, str]] = {
    Capability.VIEW: "look at everything of the project",
    Capability.SEND: "send telemetry",
    Capability.SCORE: "send scores of what was answered",
    Capability.ANNOTATE: "judge answers as a person",
    Capability.EDIT: "change data sets, experiments, dashboards, gates, monitors, pins, mapping rules, "
    "prices of models and what was refused at ingest",
    Capability.CONFIGURE: "change what binds senders and money: alerts, rules, schedules, judges, prices of GPUs, "
    "API keys",
    Capability.LIMIT: "change limits of keys and of the project",
    Capability.PEOPLE: "invite people, give roles, make service accounts",
    Capability.AUDIT: "read and export the audit log",
    Capability.HOLD: "place and lift legal holds",
}


class Role(models.TextChoices):
    """A person's place in an organisation or project; each may do what the one before it may, and more."""

    VIEWER = "viewer"
    ANNOTATOR = "annotator"
    EDITOR = "editor"
    ADMIN = "admin"
    OWNER = "owner"

    @property
    def rank(self) -> int:
        """Return its place in the order, 0 for the least."""
        return list(Role).index(self)


class Scope(models.TextChoices):
    """What a key is for."""

    INGEST = "ingest"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


_VIEWER = frozenset({Capability.VIEW})
_ANNOTATOR = _VIEWER | {Capability.SCORE, Capability.ANNOTATE}
_EDITOR = _ANNOTATOR | {Capability.SEND, Capability.EDIT, Capability.CONFIGURE}
_ADMIN = _EDITOR | {Capability.LIMIT, Capability.PEOPLE, Capability.AUDIT}

OF_ROLE: Final[dict[Role, frozenset[Capability]]] = {
    Role.VIEWER: _VIEWER,
    Role.ANNOTATOR: _ANNOTATOR,
    Role.EDITOR: _EDITOR,
    Role.ADMIN: _ADMIN,
    # Only an owner makes and unmakes owners, too (`may_give`).
    Role.OWNER: _ADMIN | {Capability.HOLD},
}

OF_SCOPE: Final[dict[Scope, frozenset[Capability]]] = {
    Scope.INGEST: frozenset({Capability.SEND, Capability.SCORE}),
    Scope.READ: frozenset({Capability.VIEW}),
    Scope.WRITE: frozenset({Capability.VIEW, Capability.SCORE, Capability.EDIT}),
    # A program lets nobody in, a judgement is somebody's, and a hold is an owner's.
    Scope.ADMIN: _ADMIN - {Capability.PEOPLE, Capability.ANNOTATE},
}
# What a key could do before there were scopes; and what one has that is made without a choice.
USUAL_SCOPES: Final = (Scope.INGEST, Scope.READ, Scope.WRITE)


def may_give(giver: Role, role: Role) -> bool:
    """Whether somebody may give, change or take a role: it is no higher than their own, and theirs is for that."""
    return Capability.PEOPLE in OF_ROLE[giver] and role.rank <= giver.rank


def may_issue(giver: Role, scope: Scope) -> bool:
    """Whether somebody may make a key of a scope: it does nothing that they may not do themselves."""
    return OF_SCOPE[scope] <= OF_ROLE[giver]
