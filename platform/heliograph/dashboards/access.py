"""Who may open a page: whoever may do in its project what the page says that it needs; others learn nothing.

A page is given its project, and says its needs, by one of the decorators here. What a role may do stands in
accounts/roles.py.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from heliograph.accounts.doors import SIGNED_IN, Needs, declared
from heliograph.accounts.models import Project, User
from heliograph.accounts.permissions import may
from heliograph.accounts.roles import MEANING, OF_ROLE, Capability

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, Project, P], HttpResponse]
Page = Callable[Concatenate[HttpRequest, str, P], HttpResponse]


def reader_of(request: HttpRequest) -> User:
    """Return who is signed in. Raises TypeError where nobody is, which the decorators here rule out."""
    if not isinstance(request.user, User):
        raise TypeError("this page lets only signed-in users through")
    return request.user


def page_for(capability: Capability) -> Callable[[View[P]], Page[P]]:
    """Return a decorator that gives a view the project of its address: 404 for strangers, 403 for who may not."""

    def decorate(view: View[P]) -> Page[P]:
        @login_required
        @wraps(view)
        def with_project(request: HttpRequest, slug: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            reader = reader_of(request)
            project = get_object_or_404(Project.objects.visible_to(reader), slug=slug)
            # Whoever sees a project may look at it: the question of the role is spared.
            if capability != Capability.VIEW and not may(reader, project, capability):
                return _refused(request, project, capability)
            return view(request, project, *args, **kwargs)

        with_project.needs = Needs(capability, capability)  # type: ignore[attr-defined]  # read by accounts.doors
        return with_project  # type: ignore[return-value]  # login_required's stub drops the parameters

    return decorate


def personal_page(view: Callable[P, HttpResponse]) -> Callable[P, HttpResponse]:
    """Mark a page for who is signed in, whatever their projects are; it asks for itself what may be seen of what."""
    return declared(SIGNED_IN, login_required(view))


def project_page(view: View[P]) -> Page[P]:
    """Give a view the project of its address, or answer 404 as if it did not exist."""
    return page_for(Capability.VIEW)(view)


def editor_page(view: View[P]) -> Page[P]:
    """As `project_page`, and answer 403 to who may look and change nothing."""
    return page_for(Capability.EDIT)(view)


def annotator_page(view: View[P]) -> Page[P]:
    """As `project_page`, and answer 403 to who may not judge answers."""
    return page_for(Capability.ANNOTATE)(view)


def may_annotate(request: HttpRequest, project: Project) -> bool:
    """Whether the reader may judge answers."""
    return isinstance(request.user, User) and may(request.user, project, Capability.ANNOTATE)


def may_edit(request: HttpRequest, project: Project) -> bool:
    """Whether the reader may change things of the project; a page shows its forms by this."""
    return isinstance(request.user, User) and may(request.user, project, Capability.EDIT)


def _refused(request: HttpRequest, project: Project, capability: Capability) -> HttpResponse:
    roles = [role.label.lower() for role, allowed in OF_ROLE.items() if capability in allowed]
    reason = (
        f"You can look at {project.name}, but not {MEANING[capability]}. "
        f"That takes the role {' or '.join(roles)}: ask an admin."
    )
    context = {"project": project, "title": "Your role does not allow this", "reason": reason}
    return render(request, "dashboards/failure.html", context, status=403)
