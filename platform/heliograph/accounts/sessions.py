"""Sessions of people: where each was begun and last seen, and how it is ended from elsewhere."""

import time
from collections.abc import Callable

from allauth.account.authentication import get_authentication_records
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from heliograph.accounts.models import User

# Written down no oftener: pages are read far more often than sessions are looked at.
NOTED_EVERY_SECONDS = 300
# Of one person; older ones are ended when the list is looked at.
MAX_SESSIONS = 100
# As long as the link itself holds.
LINK_SECONDS = 3_600
_NOTED = "session_noted_at"


class NoteSessions:
    """Writes down that a session is in use, its address and browser, so that its owner finds it in the list."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Note, and hand on."""
        # Without a cookie there is no session to read.
        if request.session.session_key and request.user.is_authenticated:
            noted_at = request.session.get(_NOTED, 0)
            if not noted_at <= time.time() < noted_at + NOTED_EVERY_SECONDS:
                note(request)
        return self._get_response(request)


def note(request: HttpRequest) -> None:
    """Write down the session of a request, which has a person."""
    UserSession.objects.create_from_request(request)
    request.session[_NOTED] = int(time.time())


def came_by_link(request: HttpRequest, user: User) -> bool:
    """Whether this session was begun in the last hour by a one-time link, the way in for who knows no password."""
    since = time.time() - LINK_SECONDS
    return any(each["method"] == "link" and each["at"] > since for each in get_authentication_records(request, user))


def just_came(request: HttpRequest) -> bool:
    """Whether this session was begun in the last five minutes."""
    since = time.time() - settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    return any(each["at"] > since for each in get_authentication_records(request, request.user))


def sessions_of(user: User) -> list[UserSession]:
    """Return somebody's sessions, the last seen first; rows of those that ended are removed."""
    UserSession.objects.purge_and_list(user)
    found = list(UserSession.objects.filter(user=user).order_by("-last_seen_at", "-pk"))
    for session in found[MAX_SESSIONS:]:
        session.end()
    return found[:MAX_SESSIONS]


def end_others(user: User, current_key: str | None) -> int:
    """End all sessions of somebody but one; return how many there were."""
    ended = 0
    for session in UserSession.objects.filter(user=user).exclude(session_key=current_key or ""):
        session.end()
        ended += 1
    return ended
