"""Calibration: an evaluator's scores against the labels of a queue, drawn, and put into its rule by a click."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from evaluators.calibration.threshold import CRITERIA, MIN_LABELS
from heliograph.accounts.models import Project
from heliograph.annotation import calibrating
from heliograph.annotation.calibrating import NotComparableError, Plan
from heliograph.annotation.models import Calibration, Queue
from heliograph.annotation.rubric import Dimension, Kind
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.annotation import the_queue
from heliograph.dashboards.experiments import user_of
from heliograph.dashboards.failures import explained

# Of the drawing, in its own units; the axes' labels lie outside.
SIZE = 300.0
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Point:
    """A bin of the reliability diagram: its place, its whisker, and its figures."""

    x: float
    y: float
    top: float
    bottom: float
    radius: float
    bin: dict[str, Any]


def points(diagram: dict[str, Any] | None) -> list[Point]:
    """Return the places of a stored diagram's bins on a square of SIZE, its origin at the lower left."""
    if not diagram:
        return []
    most = max(each["n"] for each in diagram["bins"])
    return [
        Point(
            x=round(SIZE * each["probability"], 1),
            y=round(SIZE * (1 - each["rate"]), 1),
            top=round(SIZE * (1 - each["rate_high"]), 1),
            bottom=round(SIZE * (1 - each["rate_low"]), 1),
            radius=round(3 + 3 * each["n"] / most, 1),
            bin=each,
        )
        for each in diagram["bins"]
    ]


@project_page
def show(request: HttpRequest, project: Project, queue_id: int) -> HttpResponse:
    """Show the form and the latest calibration, or the one of `?run=`."""
    return _page(request, project, the_queue(project, queue_id))


def _page(request: HttpRequest, project: Project, queue: Queue, fault: str = "", status: int = 200) -> HttpResponse:
    made = list(queue.calibrations.select_related("rule", "created_by", "applied_by")[:SHOWN])
    wanted = request.GET.get("run", "")
    if wanted.isdecimal() and len(wanted) < 18:
        chosen: Calibration | None = get_object_or_404(queue.calibrations, pk=int(wanted))
    else:
        chosen = made[0] if made else None
    rules = list(project.evaluation_rules.all())
    context = {
        "project": project,
        "queue": queue,
        "calibrations": made,
        "chosen": chosen,
        "stated": points(chosen.result["stated"]) if chosen else [],
        "calibrated": points(chosen.result["calibrated"]) if chosen else [],
        "takes_threshold": bool(chosen and chosen.rule and calibrating.takes_threshold(chosen.rule)),
        "scores": [rule.name for rule in rules],
        "dimensions": [each for each in queue.dimensions if each.kind != Kind.CORRECTION],
        "criteria": CRITERIA,
        "min_labels": MIN_LABELS,
        "size": SIZE,
        "given": request.POST,
        "score": request.POST.get("score") or (chosen.score if chosen else ""),
        "dimension": request.POST.get("dimension") or (chosen.dimension if chosen else ""),
        "fault": fault,
        "may_edit": may_edit(request, project),
    }
    return render(request, "annotation/calibration.html", context, status=status)


@require_POST
@explained
@editor_page
def calibrate(request: HttpRequest, project: Project, queue_id: int) -> HttpResponse:
    """Compare now."""
    queue = the_queue(project, queue_id)
    name = request.POST.get("dimension", "")
    each = next((each for each in queue.dimensions if each.name == name), None)
    criterion = next((each for each in CRITERIA if each == request.POST.get("criterion")), CRITERIA[0])
    try:
        plan = Plan(
            dimension=name,
            positive=_positive(each, request) if each else (),
            score=request.POST.get("score", "").strip()[:100],
            higher_is_positive=request.POST.get("direction") != "lower",
            criterion=criterion,
        )
        made = calibrating.calibrate(queue, plan, user_of(request))
    except NotComparableError as error:
        return _page(request, project, queue, str(error), status=422)
    return redirect(f"{reverse('annotation-calibration', args=[project.slug, queue.pk])}?run={made.pk}")


def _positive(each: Dimension, request: HttpRequest) -> tuple[Any, ...]:
    if each.kind == Kind.CATEGORY:
        chosen = set(request.POST.getlist("positive"))
        return tuple(option for option in each.options if option in chosen)
    if each.kind == Kind.NUMBER:
        try:
            return (float(request.POST.get("cut", "")),)
        except ValueError as error:
            raise NotComparableError(f"Say from which number on {each.name} means yes.") from error
    return ()


@require_POST
@editor_page
def apply(request: HttpRequest, project: Project, calibration_id: int) -> HttpResponse:
    """Put `threshold` and `curve`, whichever are ticked, into the evaluator's rule."""
    calibration = get_object_or_404(Calibration, project=project, pk=calibration_id)
    ticked = {name: bool(request.POST.get(name)) for name in ("threshold", "curve")}
    try:
        calibrating.apply(calibration, user_of(request), **ticked)
    except NotComparableError as error:
        messages.error(request, f"Nothing was changed. {error}")
    else:
        messages.success(request, f"The rule {calibration.rule} judges by it from its next turn on.")
    return _back(project, calibration)


@require_POST
@editor_page
def revert(request: HttpRequest, project: Project, calibration_id: int) -> HttpResponse:
    """Put back what stood in the rule before."""
    calibration = get_object_or_404(Calibration, project=project, pk=calibration_id)
    try:
        calibrating.revert(calibration)
    except NotComparableError as error:
        messages.error(request, f"Nothing was changed. {error}")
    else:
        messages.success(request, f"The rule {calibration.rule} is as it was before.")
    return _back(project, calibration)


def _back(project: Project, calibration: Calibration) -> HttpResponse:
    if calibration.queue_id is None:
        return redirect("annotation", project.slug)
    return redirect("annotation-calibration", project.slug, calibration.queue_id)
