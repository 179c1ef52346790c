"""Keeping answers of a queue for particular people, and letting anybody have them again."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project, User
from heliograph.annotation import assigning
from heliograph.annotation.assigning import AssigningError
from heliograph.annotation.models import Queue
from heliograph.dashboards.access import editor_page
from heliograph.dashboards.annotation import the_queue


@require_POST
@editor_page
def assign(request: HttpRequest, project: Project, queue_id: int) -> HttpResponse:
    """Keep answers for `person`, repeated: the ticked ones (`item`) with `ticked`, else `share` percent of the rest."""
    queue = the_queue(project, queue_id)
    share = request.POST.get("share", "")
    try:
        people = assigning.people_named(project, request.POST.getlist("person"))
        if request.POST.get("ticked"):
            got = assigning.assign(queue, people, items=_ids(request.POST, "item"))
        else:
            got = assigning.assign(queue, people, share=int(share) if share.isdecimal() and len(share) < 4 else 0)
    except AssigningError as error:
        messages.error(request, f"Nothing was assigned. {error}")
        return _back(request, project, queue)
    if told := ", ".join(f"{count:,} to {person}" for person, count in got.items() if count):
        messages.success(request, f"Assigned: {told}.")
    else:
        messages.info(request, "Nothing was assigned: these answers are judged, skipped, or somebody has them already.")
    return _back(request, project, queue)


@require_POST
@editor_page
def unassign(request: HttpRequest, project: Project, queue_id: int) -> HttpResponse:
    """Let anybody have what is kept for a `person`, or of the ticked answers (`item`)."""
    queue = the_queue(project, queue_id)
    name = request.POST.get("of", "")
    person = User.objects.filter(username=name, pk__in=queue.slots.values("assignee")) if name else []
    try:
        count = assigning.unassign(queue, people=list(person), items=[] if name else _ids(request.POST, "item"))
    except AssigningError as error:
        messages.error(request, f"Nothing was taken back. {error}")
    else:
        messages.success(request, f"{count:,} judgement{'s' * (count != 1)} may be given by anybody again.")
    return _back(request, project, queue)


def _ids(given: QueryDict, name: str) -> list[int]:
    return [int(each) for each in given.getlist(name) if each.isdecimal() and len(each) < 18]


def _back(request: HttpRequest, project: Project, queue: Queue) -> HttpResponse:
    """Return to the same view of the queue."""
    answer = redirect("annotation-queue", project.slug, queue.pk)
    if request.GET:
        answer["Location"] += f"?{request.GET.urlencode()}"
    return answer
