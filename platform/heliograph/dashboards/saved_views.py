"""Saved views of the list of traces: kept by name, own or shared with the project."""

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project, User
from heliograph.dashboards.access import editor_page
from heliograph.saved.models import SavedView, views_for

if TYPE_CHECKING:
    _ViewForm = forms.ModelForm[SavedView]
else:
    _ViewForm = forms.ModelForm


class ViewForm(_ViewForm):
    """What a view is called, and who sees it."""

    class Meta:
        model = SavedView
        fields = ("name", "query", "is_shared")


def reader(request: HttpRequest) -> User:
    """Return who is signed in; the pages let nobody else in."""
    if not isinstance(request.user, User):
        raise TypeError("login_required lets only signed-in users through")
    return request.user


@require_POST
@editor_page
def save(request: HttpRequest, project: Project) -> HttpResponse:
    """Keep a view under a name; the reader's own view of that name is replaced."""
    user = reader(request)
    name = request.POST.get("name", "").strip()
    known = SavedView.objects.filter(project=project, author=user, name=name).first()
    form = ViewForm(request.POST, instance=known or SavedView(project=project, author=user))
    if not known and SavedView.objects.filter(project=project).count() >= SavedView.MOST:
        form.add_error(None, f"This project has {SavedView.MOST} saved views; delete one that nobody needs.")
    if not form.is_valid():
        said = " ".join(f"{field}: {' '.join(map(str, errors))}" for field, errors in form.errors.items())
        context = {"project": project, "title": "This view cannot be saved", "reason": said}
        return render(request, "dashboards/failure.html", context, status=422)
    view = form.save(commit=False)
    view.query = _kept(view.query)
    view.save()
    messages.success(request, f"The view {view.name} is saved{' for everybody' if view.is_shared else ''}.")
    return redirect(address(project, view))


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, view_id: int) -> HttpResponse:
    """Delete a view of the reader's own, or a shared one."""
    view = get_object_or_404(views_for(project, reader(request)), pk=view_id)
    view.delete()
    messages.success(request, f"The view {view.name} is deleted.")
    return redirect("traces", project.slug)


def address(project: Project, view: SavedView) -> str:
    """Return where a view shows what it kept."""
    return f"{reverse('traces', args=[project.slug])}?{view.query}"


def _kept(query: str) -> str:
    """Return a query string as ours, without the place in the list."""
    given = QueryDict(query.removeprefix("?"))
    return urlencode([(name, value) for name, values in given.lists() for value in values if name != "cursor"])
