"""Two at once who want the same name: the loser is answered as if it had come a moment later.

A form looks whether a name is free and then saves. Who takes it in between makes the database refuse the second row by
its unique constraint. The view is then asked once more: now it finds the row of the other, and says so at its field, in
the words that it has for it anyhow. What it did before is undone, or was nothing: a view saves before it tells others.
A constraint that refuses it again is a fault of ours, and stays one.
"""

import logging
from collections.abc import Callable

from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse

from heliograph.accounts.doors import SAFE_METHODS
from heliograph.audit import changes

logger = logging.getLogger(__name__)


class AskOnceMore:
    """Asks a page once more that a unique constraint refused. The API answers 409 by itself (api/problems.py)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Hand on."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return what the view says of what is there now. Raises what it raises."""
        match = request.resolver_match
        if not isinstance(error, IntegrityError) or match is None or request.method in SAFE_METHODS:
            return None
        logger.warning("%s is asked once more: %s", match.url_name, error)
        changes.forget()
        answer: HttpResponse = match.func(request, *match.args, **match.kwargs)
        return answer
