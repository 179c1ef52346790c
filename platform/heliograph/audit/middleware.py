"""Records what requests change: one place, so that no view can forget it."""

import logging
from collections.abc import Callable
from typing import Any, Final

from django.http import HttpRequest, HttpResponse

from heliograph.accounts.addresses import client_ip
from heliograph.accounts.doors import SAFE_METHODS, Door, Needs, needs_of
from heliograph.accounts.models import ApiKey, Organization, Project, User
from heliograph.accounts.roles import Capability
from heliograph.audit.changes import collected
from heliograph.audit.models import Entry
from heliograph.audit.record import record

logger = logging.getLogger(__name__)

# Telemetry has a ledger of its own, and a POST that only needs to look is a question.
UNRECORDED: Final = frozenset({Capability.VIEW, Capability.SEND, Capability.SCORE})
# Of an address, what has a column of its own, and the secret of an invitation's link.
_NO_TARGET: Final = frozenset({"slug", "organization_id", "token"})


class RecordChanges:
    """Adds an entry of each request that may have changed something and was answered well, with who sent it.

    The entry is written after the answer was made: a process that is killed in between has changed something that the
    log does not name.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, and record."""
        if request.method in SAFE_METHODS:
            return self._get_response(request)
        before = request.user if isinstance(request.user, User) else None
        with collected() as changes:
            response = self._get_response(request)
        if response.status_code < 400:
            self._record(request, response, before, changes)
        return response

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *_: Any) -> None:
        """Keep what the view needs: it tells a question from a change."""
        request.needs = needs_of(view)  # type: ignore[attr-defined]  # an attribute of our own

    def _record(
        self, request: HttpRequest, response: HttpResponse, before: User | None, changes: list[dict[str, Any]]
    ) -> None:
        needs: Needs | None = getattr(request, "needs", None)
        match = request.resolver_match
        # Who signs in is known afterwards, who signs out before.
        actor = getattr(request, "api_key", None) or (request.user if isinstance(request.user, User) else before)
        if needs is None or match is None or actor is None or needs.write in UNRECORDED:
            return
        if isinstance(needs.write, Door) and response.status_code == 200 and not changes:
            return  # a form that was shown again with what is wrong in it
        project = _project(match.kwargs, request, actor)
        organization_id = match.kwargs.get("organization_id", 0)
        target = {name: value for name, value in match.kwargs.items() if name not in _NO_TARGET}
        record(
            match.url_name or "",
            via=Entry.Via.API if request.path.startswith("/api/") else Entry.Via.PAGE,
            actor=actor,
            project=project,
            organization=Organization.objects.filter(pk=organization_id).first(),
            ip=client_ip(request),
            status=response.status_code,
            target=target,
            changes=changes,
        )


def note_sign_in(user: User, request: HttpRequest | None = None, **_: Any) -> None:
    """Add an entry of a sign-in by a link or by an identity provider: a GET, which `RecordChanges` passes over."""
    if request is None or request.method not in SAFE_METHODS:
        return
    action = (request.resolver_match.url_name if request.resolver_match else None) or "login"
    record(action, via=Entry.Via.PAGE, actor=user, ip=client_ip(request), status=302)


def _project(kwargs: dict[str, Any], request: HttpRequest, actor: User | ApiKey) -> Project | None:
    if isinstance(actor, ApiKey):
        return actor.project
    slug = kwargs.get("slug") or (request.GET.get("project") if request.path.startswith("/api/") else None)
    return Project.objects.filter(slug=slug).first() if slug else None
