"""The settings page: how to send telemetry, the API keys, one's own password."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from allauth.account.adapter import get_adapter
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import SetPasswordForm
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from heliograph.accounts.models import ApiKey, Project, User
from heliograph.accounts.permissions import role_in
from heliograph.accounts.roles import MEANING, OF_SCOPE, USUAL_SCOPES, Capability, Scope, may_issue
from heliograph.accounts.sessions import came_by_link, note
from heliograph.dashboards.access import editor_page, may_edit, project_page, reader_of
from heliograph.dashboards.gpu_prices import prices_context
from heliograph.dashboards.ingest_limits import limits_context
from heliograph.dashboards.retention import retention_context

# More keys than this in one project is a mistake or an attack.
MAX_KEYS = 200


class KeyForm(forms.Form):
    """What a new key is called, what it is for, how long it holds and who acts by it."""

    name = forms.CharField(max_length=200)
    scopes = forms.MultipleChoiceField(choices=Scope.choices, required=False)
    days = forms.TypedChoiceField(
        choices=[(0, "no end"), (7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "a year")],
        coerce=int,
        required=False,
    )
    service_account = forms.ModelChoiceField(User.objects.none(), required=False, empty_label="nobody in particular")

    def __init__(self, project: Project, data: Any = None) -> None:
        super().__init__(data)
        of_project = Q(projectmembership__project=project) | Q(membership__organization=project.organization_id)
        accounts = User.objects.filter(of_project, is_service_account=True, is_active=True).distinct()
        cast(Any, self.fields["service_account"]).queryset = accounts


if TYPE_CHECKING:
    _SetPasswordForm = SetPasswordForm[User]
else:
    _SetPasswordForm = SetPasswordForm


class OwnPasswordForm(_SetPasswordForm):
    """A new password and, but of who has just come by a one-time link, the one until now.

    Without that, whoever finds a browser open could set a password, and pass by it every question who they are.
    """

    old_password = forms.CharField(max_length=200, required=False, strip=False, widget=forms.PasswordInput)

    def __init__(self, request: HttpRequest, user: User) -> None:
        super().__init__(user, request.POST)
        self._request = request

    def clean_old_password(self) -> str:
        """Refuse a wrong one; tries are counted. Raises ValidationError."""
        old = str(self.cleaned_data["old_password"])
        if not came_by_link(self._request, self.user) and not (old and get_adapter().reauthenticate(self.user, old)):
            raise forms.ValidationError("This is not your password.")
        return old


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page."""
    return settings_page(request, project)


@require_POST
@editor_page
def create_key(request: HttpRequest, project: Project) -> HttpResponse:
    """Issue a key and show it this once."""
    form = KeyForm(project, request.POST)
    if not form.is_valid():
        return settings_page(request, project, key_form=form, status=422)
    if project.api_keys.filter(revoked_at=None).count() >= MAX_KEYS:
        form.add_error("name", f"This project has {MAX_KEYS} keys. Revoke one that is no longer used.")
        return settings_page(request, project, key_form=form, status=422)
    scopes = [Scope(scope) for scope in form.cleaned_data["scopes"]] or list(USUAL_SCOPES)
    own = role_in(reader_of(request), project)
    if own is None or not all(may_issue(own, scope) for scope in scopes):
        form.add_error("scopes", "Your role does not do what such a key may: ask an admin to make it.")
        return settings_page(request, project, key_form=form, status=422)
    days = int(form.cleaned_data["days"] or 0)
    _, key = ApiKey.issue(
        project,
        form.cleaned_data["name"],
        scopes=scopes,
        expires_at=timezone.now() + timedelta(days=days) if days else None,
        service_account=form.cleaned_data["service_account"],
    )
    return settings_page(request, project, new_key=key)


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
    """Set a new password for the reader; this session stays and the others end."""
    if not isinstance(request.user, User):
        raise TypeError("project_page lets only signed-in users through")
    form = OwnPasswordForm(request, request.user)
    if not form.is_valid():
        return settings_page(request, project, password_form=form, status=422)
    form.save()
    # The other sessions of the reader end by this; this one goes on under another name.
    update_session_auth_hash(request, request.user)
    note(request)
    messages.success(request, "Your password is changed.")
    return redirect("settings", project.slug)


def settings_page(
    request: HttpRequest,
    project: Project,
    *,
    key_form: KeyForm | None = None,
    password_form: "OwnPasswordForm | None" = None,
    new_key: str = "",
    status: int = 200,
    **changed: Any,
) -> HttpResponse:
    """Show the page; `changed` is what a refused form leaves on it."""
    context = {
        "project": project,
        "keys": project.api_keys.filter(revoked_at=None)
        .select_related("service_account")
        .order_by("-created_at")[:MAX_KEYS],
        "now": timezone.now(),
        "may_edit": may_edit(request, project),
        "key_form": key_form or KeyForm(project),
        "chosen_scopes": key_form["scopes"].value() if key_form else [str(scope) for scope in USUAL_SCOPES],
        "scope_meanings": [
            (scope, scope.label, "; ".join(MEANING[each] for each in Capability if each in OF_SCOPE[scope]))
            for scope in Scope
        ],
        "password_form": password_form,
        "asks_for_password": not came_by_link(request, reader_of(request)),
        "new_key": new_key,
        **sending_context(project),
        **limits_context(request, project),
        **prices_context(project),
        **retention_context(project),
        **changed,
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
