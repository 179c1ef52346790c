"""The settings page: how to send telemetry, the API keys, one's own password."""

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import SetPasswordForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from heliograph.accounts.models import ApiKey, Project, User
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.gpu_prices import prices_context
from heliograph.dashboards.ingest_limits import limits_context

# More keys than this in one project is a mistake or an attack.
MAX_KEYS = 200


class KeyForm(forms.Form):
    """The name of a new key."""

    name = forms.CharField(max_length=200)


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page."""
    return _page(request, project)


@require_POST
@editor_page
def create_key(request: HttpRequest, project: Project) -> HttpResponse:
    """Issue a key and show it this once."""
    form = KeyForm(request.POST)
    if not form.is_valid():
        return _page(request, project, key_form=form, status=422)
    if project.api_keys.filter(revoked_at=None).count() >= MAX_KEYS:
        form.add_error("name", f"This project has {MAX_KEYS} keys. Revoke one that is no longer used.")
        return _page(request, project, key_form=form, status=422)
    _, key = ApiKey.issue(project, form.cleaned_data["name"])
    return _page(request, project, new_key=key)


@require_POST
@editor_page
def revoke_key(request: HttpRequest, project: Project, key_id: int) -> HttpResponse:
    """Close a key."""
    key = get_object_or_404(project.api_keys, pk=key_id, revoked_at=None)
    key.revoke()
    messages.success(request, f"The key “{key.name}” is revoked. Senders that use it get 401 within ten seconds.")
    return redirect("settings", project.slug)


@require_POST
@project_page
def change_password(request: HttpRequest, project: Project) -> HttpResponse:
    """Set a new password for the reader; the session stays."""
    if not isinstance(request.user, User):
        raise TypeError("project_page lets only signed-in users through")
    form: SetPasswordForm[User] = SetPasswordForm(request.user, request.POST)
    if not form.is_valid():
        return _page(request, project, password_form=form, status=422)
    form.save()
    update_session_auth_hash(request, request.user)
    messages.success(request, "Your password is changed.")
    return redirect("settings", project.slug)


def _page(
    request: HttpRequest,
    project: Project,
    *,
    key_form: KeyForm | None = None,
    password_form: "SetPasswordForm[User] | None" = None,
    new_key: str = "",
    status: int = 200,
) -> HttpResponse:
    context = {
        "project": project,
        "keys": project.api_keys.filter(revoked_at=None).order_by("-created_at")[:MAX_KEYS],
        "may_edit": may_edit(request, project),
        "key_form": key_form or KeyForm(),
        "password_form": password_form,
        "new_key": new_key,
        **sending_context(project),
        **limits_context(request, project),
        **prices_context(project),
    }
    return render(request, "dashboards/settings.html", context, status=status)


def sending_context(project: Project) -> dict[str, object]:
    """Return what the examples of sending a first trace need."""
    host = "localhost" if settings.IS_LOOPBACK_ONLY else settings.LOCAL_HOST
    return {
        "otlp_http_endpoint": f"http://{host}:{settings.OTLP_HTTP_PORT}",
        "otlp_grpc_endpoint": f"http://{host}:{settings.OTLP_GRPC_PORT}",
        "keyless": settings.ALLOW_KEYLESS_INGEST and project.slug == "default",
    }
