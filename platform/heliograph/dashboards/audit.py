"""The audit log of a project: searched, paged by its own order, and exported as JSON lines."""

import json
from collections.abc import AsyncIterator
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from heliograph.accounts.models import Project
from heliograph.accounts.roles import Capability
from heliograph.audit.models import Entry
from heliograph.audit.search import PAGE, Asked, entries, written
from heliograph.dashboards.access import page_for, reader_of

audit_page = page_for(Capability.AUDIT)
# Of an export, what is in memory at once: some hundred kB.
EXPORTED_AT_ONCE = 1_000
# Before every entry.
_NEWEST = 2**62


class SearchForm(forms.Form):
    """What is looked for; days are UTC, both included."""

    words = forms.CharField(max_length=200, required=False, strip=True)
    via = forms.ChoiceField(choices=[("", "any way"), *Entry.Via.choices], required=False)
    since = forms.DateField(required=False)
    until = forms.DateField(required=False)
    before = forms.IntegerField(min_value=1, max_value=2**62, required=False)

    def asked(self) -> Asked:
        """Return it; what cannot be used is left out, and the form says so."""
        given = getattr(self, "cleaned_data", {})
        return Asked(given.get("words") or "", given.get("via") or "", given.get("since"), given.get("until"))


@require_safe
@audit_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show a page of it, newest first."""
    form = SearchForm(request.GET)
    form.is_valid()
    found = entries(project, reader_of(request), form.asked())
    if before := form.cleaned_data.get("before"):
        found = found.filter(pk__lt=before)
    rows = list(found[: PAGE + 1])
    kept = {name: value for name, value in request.GET.items() if name != "before" and value}
    context = {
        "project": project,
        "form": form,
        "rows": rows[:PAGE],
        "query": urlencode(kept),
        "older": urlencode(kept | {"before": rows[PAGE - 1].pk}) if len(rows) > PAGE else "",
    }
    return render(request, "dashboards/audit.html", context, status=422 if form.errors else 200)


@require_safe
@audit_page
def export(request: HttpRequest, project: Project) -> HttpResponse:
    """Send all that was asked for as JSON lines, newest first; read in parts, so that any number goes."""
    form = SearchForm(request.GET)
    if not form.is_valid():
        return show(request, project.slug)
    found = entries(project, reader_of(request), form.asked())
    response = StreamingHttpResponse(_lines(found), content_type="application/jsonl; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="audit-{project.slug}.jsonl"'
    return response  # type: ignore[return-value]  # it streams, and pages are typed as not streaming


async def _lines(found: QuerySet[Entry]) -> AsyncIterator[bytes]:
    before = _NEWEST
    while rows := await sync_to_async(_part)(found, before):
        yield "".join(json.dumps(written(entry), ensure_ascii=False) + "\n" for entry in rows).encode()
        before = rows[-1].pk


def _part(found: QuerySet[Entry], before: int) -> list[Entry]:
    return list(found.filter(pk__lt=before)[:EXPORTED_AT_ONCE])
