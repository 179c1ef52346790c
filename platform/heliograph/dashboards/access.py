"""Who may open a page and who may change something: members of the project's organisation; others learn nothing."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from heliograph.accounts.models import Membership, Project, User

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, Project, P], HttpResponse]


def project_page(view: View[P]) -> Callable[Concatenate[HttpRequest, str, P], HttpResponse]:
    """Give a view the project of its address, or answer 404 as if it did not exist."""

    @login_required
    @wraps(view)
    def with_project(request: HttpRequest, slug: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not isinstance(request.user, User):
            raise TypeError("login_required lets only signed-in users through")
        project = get_object_or_404(Project.objects.visible_to(request.user), slug=slug)
        return view(request, project, *args, **kwargs)

    return with_project  # type: ignore[return-value]  # login_required's stub drops the parameters


def may_edit(request: HttpRequest, project: Project) -> bool:
    """Whether the reader is an owner or editor of the project's organisation."""
    return Membership.objects.filter(
        organization=project.organization_id,
        user=request.user.pk,
        role__in=[Membership.Role.OWNER, Membership.Role.EDITOR],
    ).exists()


def editor_page(view: View[P]) -> Callable[Concatenate[HttpRequest, str, P], HttpResponse]:
    """As `project_page`, and answer 403 to a viewer, who may look and change nothing."""

    @wraps(view)
    def for_editors(request: HttpRequest, project: Project, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if may_edit(request, project):
            return view(request, project, *args, **kwargs)
        reason = f"You can look at {project.name} but not change it. Ask an owner to make you an editor."
        context = {"project": project, "title": "Only owners and editors may do this", "reason": reason}
        return render(request, "dashboards/failure.html", context, status=403)

    return project_page(cast("View[P]", for_editors))
