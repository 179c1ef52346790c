"""The way in: the start page and signing in with a one-time link."""

from typing import cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from sesame.views import LoginView as SesameLoginView

from heliograph.accounts.models import Project, User


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Send the reader to the first project, or say that there is none."""
    project = Project.objects.visible_to(cast(User, request.user)).order_by("created_at").first()
    if project is None:
        return render(request, "dashboards/no_project.html", status=403)
    return redirect("overview", project.slug)


class LoginLink(SesameLoginView):  # type: ignore[misc]  # sesame ships no types
    """Sign in with the link printed at start; it works once, within an hour."""

    def login_failed(self) -> HttpResponseRedirect:
        """Lead a used or expired link to the password form instead of a bare 403."""
        return redirect("login")


login_link = never_cache(LoginLink.as_view())
