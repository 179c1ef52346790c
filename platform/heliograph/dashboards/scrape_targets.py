"""The pages of metrics that a project has fetched: add one, pause it, see how it went."""

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from collectors.serving import ENGINE_KEY, ENGINES, VERSION_KEY
from heliograph.accounts.models import Project
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.finding import found_in
from heliograph.scrape.models import MAX_TARGETS, Discovery, ScrapeTarget

if TYPE_CHECKING:
    _TargetForm = forms.ModelForm[ScrapeTarget]
else:
    _TargetForm = forms.ModelForm


class TargetForm(_TargetForm):
    """A target of a person's own. `host` joins an engine to the GPUs of the agent on the same host."""

    engine = forms.ChoiceField(
        required=False, choices=[("", "by its metrics' names"), *((each.name, each.title) for each in ENGINES)]
    )
    version = forms.CharField(required=False, max_length=50, label="Engine's version")
    host = forms.CharField(required=False, max_length=200, label="Host", help_text="As its GPU agent names it.")

    class Meta:
        model = ScrapeTarget
        fields = ("name", "url", "interval_s", "timeout_s")
        labels = {"url": "Address", "interval_s": "Every, s", "timeout_s": "Timeout, s"}

    def save(self, commit: bool = True) -> ScrapeTarget:
        """Save the target with its labels."""
        given = {ENGINE_KEY: "engine", VERSION_KEY: "version", "host.name": "host"}
        self.instance.labels = {
            key: self.cleaned_data[field] for key, field in given.items() if self.cleaned_data.get(field)
        }
        return super().save(commit)


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page."""
    return _page(request, project, TargetForm())


@require_POST
@editor_page
def add(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a target."""
    form = TargetForm(request.POST, instance=ScrapeTarget(project=project))
    if ScrapeTarget.objects.filter(project=project).count() >= MAX_TARGETS:
        form.add_error(None, f"A project has at most {MAX_TARGETS} targets.")
    if not form.is_valid():
        return _page(request, project, form, status=422)
    if ScrapeTarget.objects.filter(project=project, url=form.cleaned_data["url"]).exists():
        form.add_error("url", "This address is scraped already.")
        return _page(request, project, form, status=422)
    try:
        target = form.save()
    except IntegrityError:  # somebody was faster
        form.add_error("url", "This address is scraped already.")
        return _page(request, project, form, status=422)
    messages.success(request, f"“{target.name}” is scraped for the first time within ten seconds.")
    return redirect("settings-scraping", project.slug)


@require_POST
@editor_page
def pause(request: HttpRequest, project: Project, target_id: int) -> HttpResponse:
    """Pause a target, or let it go on."""
    target = get_object_or_404(project.scrape_targets, pk=target_id)
    target.is_paused = not target.is_paused
    target.save(update_fields=["is_paused"])
    messages.success(request, f"“{target.name}” {'is paused' if target.is_paused else 'goes on'} within ten seconds.")
    return redirect("settings-scraping", project.slug)


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, target_id: int) -> HttpResponse:
    """Remove a target; what was found by discovery would come back, so it is paused instead."""
    target = get_object_or_404(project.scrape_targets, pk=target_id, source=ScrapeTarget.Source.SETTINGS)
    target.delete()
    messages.success(request, f"“{target.name}” is scraped no more. Its points stay as long as the project keeps them.")
    return redirect("settings-scraping", project.slug)


def _page(request: HttpRequest, project: Project, form: TargetForm, status: int = 200) -> HttpResponse:
    targets = list(found_in(request, project.scrape_targets.all(), "name", "url")[:MAX_TARGETS])
    context: dict[str, Any] = {
        "project": project,
        "targets": targets,
        "labels": {target.pk: json.dumps(target.labels, ensure_ascii=False) for target in targets if target.labels},
        "down": sum(bool(target.last_error) and not target.is_paused for target in targets),
        "discoveries": Discovery.objects.order_by("source"),
        "form": form,
        "may_edit": may_edit(request, project),
        "loopback": settings.SCRAPE_LOOPBACK,
    }
    return render(request, "dashboards/scraping.html", context, status=status)
