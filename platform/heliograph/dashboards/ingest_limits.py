"""The limits of keys and of a project on the settings page, and what each key was used for."""

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django import forms
from django.http import HttpRequest

from heliograph.accounts.limits import LIMIT_FIELDS
from heliograph.accounts.models import ApiKey, Project
from heliograph.accounts.permissions import may
from heliograph.accounts.roles import Capability
from heliograph.clickhouse.errors import StoreError
from heliograph.dashboards.access import page_for, reader_of
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


def may_limit(request: HttpRequest, project: Project) -> bool:
    """Whether the reader may change limits."""
    return may(reader_of(request), project, Capability.LIMIT)


limits_page = page_for(Capability.LIMIT)


def limits_context(request: HttpRequest, project: Project) -> dict[str, object]:
    """Return what the settings page says of limits and use."""
    return key_rows(project) | {
        "project_limits": ProjectLimitsForm(instance=project, auto_id="id_project_%s"),
        "may_limit": may_limit(request, project),
    }


def key_rows(project: Project, refused: KeyLimitsForm | None = None) -> dict[str, object]:
    """Return the keys with what they were used for; one keeps its form that was refused."""
    uses: dict[int, KeyUse] | None = None
    # Without the store the page says that it is not known; nothing else on it needs the store.
    with suppress(StoreError):
        uses = ledger.uses(project.pk)
    keys = project.api_keys.filter(revoked_at=None).order_by("-created_at")[:200]
    return {
        "key_rows": [
            KeyRow(
                key,
                refused
                if refused and refused.instance.pk == key.pk
                else KeyLimitsForm(instance=key, auto_id=f"id_{key.pk}_%s"),
                (uses or {}).get(key.pk),
            )
            for key in keys
        ],
        "keyless_use": (uses or {}).get(0),
        "uses_known": uses is not None,
    }
