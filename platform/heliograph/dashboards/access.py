"""Who may open a page: only members of the project's organisation, and others learn nothing about it."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from heliograph.accounts.models import Project, User

P = ParamSpec("P")


def project_page(
    view: Callable[Concatenate[HttpRequest, Project, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, str, P], HttpResponse]:
    """Give a view the project of its address, or answer 404 as if it did not exist."""

    @login_required
    @wraps(view)
    def with_project(request: HttpRequest, slug: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not isinstance(request.user, User):
            raise TypeError("login_required lets only signed-in users through")
        project = get_object_or_404(Project.objects.visible_to(request.user), slug=slug)
        return view(request, project, *args, **kwargs)

    return with_project  # type: ignore[return-value]  # login_required's stub drops the parameters
