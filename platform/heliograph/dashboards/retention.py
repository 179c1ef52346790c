"""For how long telemetry is kept, on the settings page."""

from typing import TYPE_CHECKING

from django import forms

from heliograph.accounts.models import Project
from heliograph.rules.models import RetentionRule

if TYPE_CHECKING:
    _RuleForm = forms.ModelForm[RetentionRule]
else:
    _RuleForm = forms.ModelForm


class RetentionForm(_RuleForm):
    """A new rule."""

    class Meta:
        model = RetentionRule
        fields = ("signal", "environment", "days")


def retention_context(project: Project) -> dict[str, object]:
    """Return what the settings page says of retention."""
    return {
        "retention_rules": RetentionRule.objects.filter(project=project),
        "retention_form": RetentionForm(auto_id="id_retention_%s"),
    }
