"""The sampling page: which traces are kept, what came of it, and what waits for complete traces."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project
from heliograph.clickhouse.errors import StoreError
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.ordered_rules import RuleForm, form_of, views_of
from heliograph.query import ledger
from heliograph.query.filters import TimeRange
from heliograph.rules.models import MAX_RULES, SamplingRule, TailSampler, TraceWaiting
from heliograph.tail.preview import PREVIEW_TRACES, preview

PAGE = "settings-sampling"
# What the page looks back over: what was decided, and what a preview tries.
DECIDED = timedelta(hours=24)
TRIED = timedelta(hours=1)


class SamplingForm(RuleForm):
    """One sampling rule; `rule` is the id of the one that it changes."""

    rule = forms.CharField(required=False, max_length=20, widget=forms.HiddenInput)

    class Meta:
        model = SamplingRule
        fields = ("name", "stage", "condition", "threshold", "score", "service", "environment", "rate")

    def clean(self) -> dict[str, Any]:
        """Keep only what a rule of this stage and condition uses, so that a hidden field refuses nothing."""
        given: dict[str, Any] = super().clean() or {}
        if given.get("stage") == SamplingRule.Stage.HEAD:
            given["condition"] = SamplingRule.Condition.ANY
        if given.get("condition") not in SamplingRule.NEEDS_THRESHOLD:
            given["threshold"] = None
        if given.get("condition") not in SamplingRule.SCORES:
            given["score"] = ""
        return given


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page; `?rule=` opens a rule in the form."""
    rule_id = request.GET.get("rule", "")
    return _page(request, project, form_of(SamplingForm, project, rule_id, initial={"rule": rule_id}))


def _page(request: HttpRequest, project: Project, form: RuleForm, status: int = 200) -> HttpResponse:
    decided = None
    # Rules are changed without the store too; then the page does not say what they did.
    with suppress(StoreError):
        decided = ledger.sampling(project.pk, _last(DECIDED))
    rules = list(SamplingRule.objects.filter(project=project))
    context = {
        "project": project,
        "form": form,
        "rules": rules,
        "has_tail": any(rule.enabled and rule.stage == SamplingRule.Stage.TAIL for rule in rules),
        "most_rules": MAX_RULES,
        "decided": decided,
        "sampler": TailSampler.objects.filter(project=project).first(),
        "evaluators_wait": TraceWaiting.evaluators(project.pk),
        "quiet_seconds": settings.TRACE_QUIET_SECONDS,
        "give_up_minutes": round(settings.TRACE_GIVE_UP_SECONDS / 60),
        "score_wait_minutes": round(settings.TAIL_SCORE_WAIT_SECONDS / 60),
        "may_edit": may_edit(request, project),
    }
    return render(request, "dashboards/sampling.html", context, status=status)


save, switch, move, remove = views_of(SamplingForm, _page, PAGE)


@project_page
def show_preview(request: HttpRequest, project: Project) -> HttpResponse:
    """Return what the enabled rules, with the one in the form, would have kept of the last hour, as a fragment."""
    context: dict[str, object] = {"project": project, "most": PREVIEW_TRACES}
    rules = list(SamplingRule.objects.filter(project=project))
    if request.GET.get("name"):
        form = form_of(SamplingForm, project, request.GET.get("rule", ""), request.GET)
        context["form"] = form
        if form.is_valid():
            draft = form.save(commit=False)
            draft.enabled = True
            rules = [rule for rule in rules if rule.pk != draft.pk] + [draft]
    try:
        context["preview"] = preview(project.pk, _last(TRIED), [rule for rule in rules if rule.enabled])
    except StoreError as error:
        context["failure"] = error.user_text
    return render(request, "dashboards/_sampling_preview.html", context)


@require_POST
@editor_page
def wait(request: HttpRequest, project: Project) -> HttpResponse:
    """Have the evaluators wait for complete traces, or not."""
    waits = request.POST.get("evaluators_wait") == "on"
    TraceWaiting.objects.update_or_create(project=project, defaults={"evaluators_wait": waits})
    said = "wait until a trace is complete" if waits else "judge each answer as soon as it is stored"
    messages.success(request, f"Evaluators {said}, from their next pass on.")
    return redirect(PAGE, project.slug)


def _last(length: timedelta) -> TimeRange:
    now = datetime.now(UTC)
    return TimeRange(now - length, now + timedelta(seconds=1))
