"""The limits of keys and of a project on the settings page, and what each key was used for."""

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from heliograph.accounts.limits import LIMIT_FIELDS
from heliograph.accounts.models import ApiKey, Membership, Project
from heliograph.clickhouse.errors import StoreError
from heliograph.dashboards.access import project_page
from heliograph.query import ledger
from heliograph.query.ledger import KeyUse

if TYPE_CHECKING:
    _KeyForm = forms.ModelForm[ApiKey]
    _ProjectForm = forms.ModelForm[Project]
else:
    _KeyForm = _ProjectForm = forms.ModelForm


class KeyLimitsForm(_KeyForm):
    """The limits of one key."""

    class Meta:
        model = ApiKey
        fields = LIMIT_FIELDS


class ProjectLimitsForm(_ProjectForm):
    """The limits of every key that has none of its own, and whether refused bodies are kept."""

    class Meta:
        model = Project
        fields = (*LIMIT_FIELDS, "keep_dead_letters")


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key, its form and its use; None where it was not used or where that is not known."""

    key: ApiKey
    form: KeyLimitsForm
    use: KeyUse | None


def is_owner(request: HttpRequest, project: Project) -> bool:
    """Whether the reader is an owner of the project's organisation."""
    return Membership.objects.filter(
        organization=project.organization_id, user=request.user.pk, role=Membership.Role.OWNER
    ).exists()


@require_POST
@project_page
def change_project(request: HttpRequest, project: Project) -> HttpResponse:
    """Set the project's limits."""
    return _change(request, project, ProjectLimitsForm(request.POST, instance=project), "Each key of this project")


@require_POST
@project_page
def change_key(request: HttpRequest, project: Project, key_id: int) -> HttpResponse:
    """Set one key's limits."""
    key = get_object_or_404(project.api_keys, pk=key_id, revoked_at=None)
    return _change(request, project, KeyLimitsForm(request.POST, instance=key), f"The key “{key.name}”")


def limits_context(request: HttpRequest, project: Project) -> dict[str, object]:
    """Return what the settings page says of limits and use."""
    uses: dict[int, KeyUse] | None = None
    # Without the store the page says that it is not known; nothing else on it needs the store.
    with suppress(StoreError):
        uses = ledger.uses(project.pk)
    keys = project.api_keys.filter(revoked_at=None).order_by("-created_at")[:200]
    return {
        "key_rows": [
            KeyRow(key, KeyLimitsForm(instance=key, auto_id=f"id_{key.pk}_%s"), (uses or {}).get(key.pk))
            for key in keys
        ],
        "keyless_use": (uses or {}).get(0),
        "uses_known": uses is not None,
        "project_limits": ProjectLimitsForm(instance=project, auto_id="id_project_%s"),
        "is_owner": is_owner(request, project),
    }


def _change(request: HttpRequest, project: Project, form: KeyLimitsForm | ProjectLimitsForm, who: str) -> HttpResponse:
    context: dict[str, object] = {"project": project}
    if not is_owner(request, project):
        context |= {
            "title": "Only owners may change limits",
            "reason": f"Ask an owner of {project.organization.name}.",
        }
        return render(request, "dashboards/failure.html", context, status=403)
    if not form.is_valid():
        faults = form.errors.items()
        said = "; ".join(f"{form.fields[name].label}: {' '.join(map(str, errors))}" for name, errors in faults)
        context |= {"title": "These limits cannot be used", "reason": said}
        return render(request, "dashboards/failure.html", context, status=422)
    form.save()
    messages.success(request, f"{who} is limited as you said within ten seconds.")
    return redirect("settings", project.slug)
