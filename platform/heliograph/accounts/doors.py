"""What a view needs of who asks, said where the view is; a view that says nothing is open to nobody.

A page says it by a decorator of heliograph.dashboards.access, an endpoint of the API by its class attribute `needs`.
`DefaultDeny` refuses what says nothing, and tests/accounts/test_walk.py goes through every address.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from heliograph.accounts.roles import Capability

logger = logging.getLogger(__name__)

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Door(StrEnum):
    """Views that are of no project."""

    OPEN = "open to everybody"
    # The view itself asks who it is: one's own account, and the pages of an organisation.
    SIGNED_IN = "for who is signed in"


@dataclass(frozen=True, slots=True)
class Needs:
    """What reading and what changing needs."""

    read: Capability | Door
    write: Capability | Door

    def of(self, method: str | None) -> Capability | Door:
        """Return what a request by this method needs."""
        return self.read if method in SAFE_METHODS else self.write


OPEN: Final = Needs(Door.OPEN, Door.OPEN)
SIGNED_IN: Final = Needs(Door.SIGNED_IN, Door.SIGNED_IN)
READING: Final = Needs(Capability.VIEW, Capability.VIEW)
SCORING: Final = Needs(Capability.VIEW, Capability.SCORE)
ANNOTATING: Final = Needs(Capability.VIEW, Capability.ANNOTATE)
EDITING: Final = Needs(Capability.VIEW, Capability.EDIT)
CONFIGURING: Final = Needs(Capability.VIEW, Capability.CONFIGURE)
LIMITING: Final = Needs(Capability.VIEW, Capability.LIMIT)
AUDITING: Final = Needs(Capability.AUDIT, Capability.AUDIT)


def needs_of(view: Callable[..., Any]) -> Needs | None:
    """Return what a view of a URL pattern says that it needs; None where it says nothing."""
    return getattr(getattr(view, "cls", view), "needs", None)


def declared(needs: Needs, view: Callable[..., Any]) -> Callable[..., Any]:
    """Say for a view of somebody else's what it needs."""
    view.needs = needs  # type: ignore[attr-defined]  # a function's own attribute
    return view


class DefaultDeny:
    """Refuses every view that does not say what it needs, and looks at nothing else: views check what they said."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Hand on."""
        return self._get_response(request)

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *_: Any) -> None:
        """Raise PermissionDenied for a view without needs."""
        if needs_of(view) is None:
            logger.error(
                "%s.%s does not say what it needs: give a page a decorator of dashboards.access, "
                "an endpoint the attribute `needs`",
                view.__module__,
                getattr(view, "__qualname__", view),
            )
            raise PermissionDenied
