"""Second factors: who has one, which organisations require one, and the middleware that leads the others to it."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from allauth.mfa.models import Authenticator
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from heliograph.accounts.doors import OPEN, needs_of
from heliograph.accounts.models import Membership, Organization, ProjectMembership, User

View = TypeVar("View", bound=Callable[..., Any])
# Recovery codes alone are none: they go with what they recover.
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def has_second_factor(user: User) -> bool:
    """Whether somebody is asked for more than a password."""
    return bool(Authenticator.objects.filter(user=user, type__in=FACTORS).exists())


def with_second_factor(user_ids: Iterable[int]) -> set[int]:
    """Return those of some people who have one."""
    found = Authenticator.objects.filter(user__in=list(user_ids), type__in=FACTORS)
    return set(found.values_list("user_id", flat=True))


def first_that_requires(user: User) -> Organization | None:
    """Return an organisation of somebody's that requires a second factor; None where none does."""
    of_it = Membership.objects.filter(organization=OuterRef("pk"), user=user)
    of_a_project = ProjectMembership.objects.filter(project__organization=OuterRef("pk"), user=user)
    found = Organization.objects.filter(requires_second_factor=True)
    return found.filter(Exists(of_it) | Exists(of_a_project)).order_by("pk").first()


def missing_for(user: User) -> Organization | None:
    """Return the organisation that keeps somebody waiting until they have a second factor; None where none does."""
    organization = first_that_requires(user)
    return None if organization is None or has_second_factor(user) else organization


def before_second_factor(view: View) -> View:
    """Mark a page that is needed to switch a second factor on."""
    view.before_second_factor = True  # type: ignore[attr-defined]  # a function's own attribute
    return view


class SecondFactor:
    """Leads who lacks a required second factor to where it is switched on, whatever page they ask for.

    The API asks for itself (api/authentication.py): a key is not somebody who signs in.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Hand on."""
        return self._get_response(request)

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *_: Any) -> HttpResponse | None:
        """Return the way to the page of one's own security, or None."""
        if needs_of(view) == OPEN or hasattr(view, "cls") or getattr(view, "before_second_factor", False):
            return None
        if not isinstance(request.user, User) or missing_for(request.user) is None:
            return None
        if request.headers.get("HX-Request"):  # a fragment: the page as a whole has to go there
            return HttpResponse(status=204, headers={"HX-Redirect": reverse("security")})
        return HttpResponseRedirect(reverse("security"))
