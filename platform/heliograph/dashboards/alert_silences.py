"""Silences and maintenance windows: when nobody is told."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project, User
from heliograph.alerts.models import MAX_SILENCES, Rule, Silence, check_silence
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.finding import found_in

if TYPE_CHECKING:
    _Form = forms.ModelForm[Silence]
else:
    _Form = forms.ModelForm


class SilenceForm(_Form):
    """When, for what, and why; times are UTC."""

    labels = forms.CharField(max_length=500, required=False)

    class Meta:
        model = Silence
        fields = ("comment", "rule", "starts_at", "ends_at", "is_weekly")

    def __init__(self, project: Project, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial, instance=Silence(project=project))
        rule = self.fields["rule"]
        assert isinstance(rule, forms.ModelChoiceField)
        rule.queryset, rule.required = Rule.objects.filter(project=project), False

    def clean(self) -> dict[str, Any]:
        """Check the span and read the labels."""
        given: dict[str, Any] = super().clean() or {}
        try:
            self.instance.labels = _labels(given.get("labels", ""))
            if given.get("starts_at") and given.get("ends_at"):
                check_silence(given["starts_at"], given["ends_at"], is_weekly=given["is_weekly"])
        except ValidationError as error:
            for name, told in error.message_dict.items():
                self.add_error(name, told)
        return given


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the silences."""
    return _page(request, project, SilenceForm(project, initial={"rule": request.GET.get("rule", "")}))


@require_POST
@editor_page
def add(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a silence."""
    form = SilenceForm(project, request.POST)
    if Silence.objects.filter(project=project).count() >= MAX_SILENCES:
        form.add_error(None, f"A project has at most {MAX_SILENCES} silences: remove some that are over.")
    if not form.is_valid():
        return _page(request, project, form, status=422)
    silence = form.save(commit=False)
    silence.created_by = request.user if isinstance(request.user, User) else None
    silence.save()
    messages.success(request, "Nobody is told while it lasts. What still fires when it ends is told then.")
    return redirect("alerts-silences", project.slug)


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, silence_id: int) -> HttpResponse:
    """End a silence by removing it."""
    get_object_or_404(Silence, project=project, pk=silence_id).delete()
    messages.success(request, "The silence is removed: what fires is told within half a minute.")
    return redirect("alerts-silences", project.slug)


def _page(request: HttpRequest, project: Project, form: SilenceForm, status: int = 200) -> HttpResponse:
    now = timezone.now()
    found = found_in(request, Silence.objects.filter(project=project), "comment", "rule__name")
    silences = [(silence, silence.is_active(now)) for silence in found[:MAX_SILENCES]]
    context = {
        "project": project,
        "form": form,
        "silences": silences,
        "rules": Rule.objects.filter(project=project),
        "may_edit": may_edit(request, project),
        "now": now,
    }
    return render(request, "alerts/silences.html", context, status=status)


def _labels(text: str) -> dict[str, str]:
    """Read `service: checkout; model: gpt-4o`. Raises ValidationError."""
    found = {}
    for part in filter(str.strip, text.split(";")):
        name, colon, value = part.partition(":")
        if not colon or not name.strip():
            raise ValidationError({"labels": ["Write it as service: checkout; model: gpt-4o"]})
        found[name.strip()] = value.strip()
    return found
