"""Legal holds: the list with its search, placing one, lifting one."""

from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from heliograph.accounts.models import Project
from heliograph.accounts.permissions import may
from heliograph.accounts.roles import Capability
from heliograph.dashboards.access import page_for, reader_of
from heliograph.holds import asking
from heliograph.holds.asking import MAX_REASON, CannotHold
from heliograph.holds.models import MAX_TRACES, Hold

PER_PAGE = 50


class HoldForm(forms.Form):
    """What shall be held, and why; days are UTC, both included, and of a filter."""

    kind = forms.ChoiceField(choices=Hold.Kind.choices)
    subject = forms.CharField(max_length=4_000, strip=False, required=False)
    since = forms.DateField(required=False)
    until = forms.DateField(required=False)
    reason = forms.CharField(max_length=MAX_REASON)


@require_safe
@page_for(Capability.AUDIT)
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show a page of the holds, newest first."""
    return _page(request, project, HoldForm())


@require_POST
@page_for(Capability.HOLD)
def place(request: HttpRequest, project: Project) -> HttpResponse:
    """Place a hold; one that cannot be placed stays in the form, with the reason."""
    form = HoldForm(request.POST)
    if form.is_valid():
        given = form.cleaned_data
        start, end = _day(given["since"], 0), _day(given["until"], 1)
        # Today is not over, and a filter is of the past.
        end = min(end, datetime.now(UTC)) if end else None
        who = reader_of(request).get_username()
        try:
            asking.place(project, given["kind"], given["subject"], given["reason"], who, start=start, end=end)
        except CannotHold as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "The hold stands: nothing of it is removed from now on.")
            return redirect("settings-holds", project.slug)
    return _page(request, project, form, status=422)


@require_POST
@page_for(Capability.HOLD)
def lift(request: HttpRequest, project: Project, hold_id: int) -> HttpResponse:
    """Lift a hold, with a reason."""
    hold = get_object_or_404(Hold, project=project, pk=hold_id)
    try:
        asking.lift(hold, request.POST.get("reason", ""), reader_of(request).get_username())
    except CannotHold as error:
        messages.error(request, f"The hold is not lifted. {error}")
    else:
        messages.success(request, "The hold is being lifted: what it held goes in its own time.")
    return redirect("settings-holds", project.slug)


def _day(day: date | None, later: int) -> datetime | None:
    return datetime.combine(day, time(), UTC) + timedelta(days=later) if day else None


def _page(request: HttpRequest, project: Project, form: HoldForm, *, status: int = 200) -> HttpResponse:
    words = request.GET.get("words", "").strip()[:200].replace("\0", "")
    page = Paginator(asking.found(project, words).order_by("-pk"), PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "tab": "holds",
        "form": form,
        "page": page,
        "words": words,
        "query": f"{urlencode({'words': words})}&" if words else "",
        "most": MAX_TRACES,
        "may_hold": may(reader_of(request), project, Capability.HOLD),
    }
    return render(request, "dashboards/holds.html", context, status=status)
