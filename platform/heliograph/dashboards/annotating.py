"""The page on which a person judges one answer after the other."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project, User
from heliograph.annotation import assigning, leases, queues, saving
from heliograph.annotation.judgement import InvalidAnswerError
from heliograph.annotation.leases import ClosedQueueError, LostSlotError
from heliograph.annotation.models import Queue, Slot
from heliograph.annotation.rubric import Dimension
from heliograph.dashboards.access import annotator_page, may_annotate, project_page
from heliograph.dashboards.annotation import the_queue
from heliograph.dashboards.conversation import Conversation
from heliograph.dashboards.failures import explained
from heliograph.query import online
from heliograph.query.spans import get_span

SKIP_REASONS = ("not my field", "cannot be judged from what is shown", "not my language")


@explained
@project_page
def show(request: HttpRequest, project: Project, queue_id: int) -> HttpResponse:
    """Show the answer that the reader has in hand, `?slot=` one that they judged before, else how to begin."""
    queue = the_queue(project, queue_id)
    return _page(request, project, queue, _slot_in_hand(request, queue))


def _slot_in_hand(request: HttpRequest, queue: Queue) -> Slot | None:
    mine = queue.slots.filter(annotator=request.user.pk).select_related("item", "queue__project")
    wanted = request.GET.get("slot", "")
    if wanted.isdecimal() and len(wanted) < 18:
        return get_object_or_404(mine, pk=int(wanted))
    return mine.filter(status=Slot.Status.LEASED).first()


def _page(
    request: HttpRequest,
    project: Project,
    queue: Queue,
    slot: Slot | None,
    given: dict[str, Any] | None = None,
    fault: InvalidAnswerError | None = None,
) -> HttpResponse:
    context: dict[str, Any] = {
        "project": project,
        "queue": queue,
        "slot": slot,
        "progress": queues.progress(queue),
        "mine": queue.slots.filter(annotator=request.user.pk, status=Slot.Status.DONE).count(),
        "yours": assigning.waiting_for(queue, request.user.pk),
        "may_annotate": may_annotate(request, project),
    }
    if slot is not None:
        latest = slot.annotations.order_by("-version").first()
        values = given if given is not None else latest.values if latest else {}
        before = queue.slots.filter(annotator=request.user.pk, status=Slot.Status.DONE).exclude(pk=slot.pk)
        earlier = before.filter(done_at__lt=slot.done_at) if slot.done_at else before
        context |= _shown(project, slot) | {
            "scores": [(each, _value(each, values.get(each.name))) for each in queue.dimensions],
            "comment": (given or {}).get("comment", latest.comment if latest else ""),
            "before": earlier.order_by("-done_at").first(),
            "fault": fault,
            "skip_reasons": SKIP_REASONS,
        }
    return render(request, "annotation/work.html", context, status=422 if fault else 200)


def _shown(project: Project, slot: Slot) -> dict[str, Any]:
    item = slot.item
    span = get_span(project.pk, item.trace_id, item.span_id)
    judged = online.by_id(project.pk, [(item.trace_id, item.span_id)])
    return {
        "span": span,
        "conversation": Conversation.of(span) if span else None,
        "documents": judged[0].documents if judged else (),
        "answer": judged[0].answer if judged else "",
    }


def _value(each: Dimension, value: Any) -> str:
    """Return what was said as the form's fields say it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _next(request: HttpRequest, project: Project, queue: Queue) -> HttpResponse:
    assert isinstance(request.user, User)  # annotator_page saw to it
    try:
        slot = leases.claim(queue, request.user)
    except ClosedQueueError as error:
        messages.warning(request, str(error))
        return redirect("annotation-queue", project.slug, queue.pk)
    if slot is None:
        messages.success(request, f"Nothing is left for you in {queue.name}. Thank you.")
        return redirect("annotation-queue", project.slug, queue.pk)
    return redirect("annotation-work", project.slug, queue.pk)


@require_POST
@annotator_page
def take_next(request: HttpRequest, project: Project, queue_id: int) -> HttpResponse:
    """Take the next answer in hand."""
    return _next(request, project, the_queue(project, queue_id))


@require_POST
@explained
@annotator_page
def save(request: HttpRequest, project: Project, queue_id: int, slot_id: int) -> HttpResponse:
    """Keep what was said, and take the next answer in hand."""
    queue, slot = _slot(project, queue_id, slot_id)
    given = {f"{each.name}": request.POST.get(f"score.{each.name}", "") for each in queue.dimensions}
    assert isinstance(request.user, User)  # annotator_page saw to it
    try:
        saving.save(slot, request.user, given, request.POST.get("comment", ""))
    except InvalidAnswerError as fault:
        if slot.annotator_id != request.user.pk:
            return _lost(request, project, queue)
        shown = given | {"comment": request.POST.get("comment", "")}
        return _page(request, project, queue, slot, shown, fault)
    except LostSlotError:
        return _lost(request, project, queue)
    return _next(request, project, queue)


@require_POST
@annotator_page
def skip(request: HttpRequest, project: Project, queue_id: int, slot_id: int) -> HttpResponse:
    """Leave an answer to others, with a reason, and take the next one in hand; with `stop`, only give it back."""
    queue, slot = _slot(project, queue_id, slot_id)
    assert isinstance(request.user, User)  # annotator_page saw to it
    try:
        if request.POST.get("stop"):
            leases.release(slot, request.user)
            return redirect("annotation-queue", project.slug, queue.pk)
        leases.skip(slot, request.user, request.POST.get("reason", ""))
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("annotation-work", project.slug, queue.pk)
    except LostSlotError:
        return _lost(request, project, queue)
    return _next(request, project, queue)


def _slot(project: Project, queue_id: int, slot_id: int) -> tuple[Queue, Slot]:
    queue = the_queue(project, queue_id)
    return queue, get_object_or_404(queue.slots.select_related("item", "queue__project"), pk=slot_id)


def _lost(request: HttpRequest, project: Project, queue: Queue) -> HttpResponse:
    messages.warning(request, str(LostSlotError()))
    return redirect("annotation-work", project.slug, queue.pk)
