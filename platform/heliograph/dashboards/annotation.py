"""Annotation queues: the list, one with its items, its agreement and its corrections, and what fills and changes it."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project
from heliograph.annotation import agreement, assigning, choosing, queues, rubric
from heliograph.annotation.corrections import MAX_MOVED, corrections, to_dataset
from heliograph.annotation.models import Item, Queue, Slot
from heliograph.annotation.queues import QueueFullError
from heliograph.dashboards.access import editor_page, may_annotate, may_edit, project_page
from heliograph.dashboards.datasets import the_dataset
from heliograph.dashboards.experiments import kept_query, user_of
from heliograph.dashboards.failures import explained
from heliograph.dashboards.finding import found_in
from heliograph.dashboards.timerange import chosen_range
from heliograph.datasets.content import InvalidRowError
from heliograph.datasets.from_traces import parse_items
from heliograph.datasets.models import Dataset
from heliograph.datasets.versions import TooManyRowsError
from heliograph.query import annotated, scores
from heliograph.query.filters import InvalidFilterError
from heliograph.query.language import parse

PER_PAGE = 50
CORRECTIONS_SHOWN = 50
DATASETS_SHOWN = 200
# No user name has a blank.
NOBODY = "nobody yet"
EXAMPLE = "correct: yes or no\nhelpfulness: 1 to 5\ntone?: polite | neutral | rude\nbetter answer: correction"


class QueueForm(forms.Form):
    """A queue: its rubric as text, a line a score."""

    name = forms.CharField(max_length=100)
    instructions = forms.CharField(required=False, max_length=20_000)
    rubric = forms.CharField(max_length=20_000, initial=EXAMPLE)
    annotators_per_item = forms.IntegerField(min_value=1, max_value=10, initial=1)
    lease_minutes = forms.IntegerField(min_value=1, max_value=240, initial=15)
    dataset = forms.ModelChoiceField(Dataset.objects.none(), required=False)

    def __init__(self, queue: Queue, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = queue
        choices: Any = self.fields["dataset"]
        choices.queryset = Dataset.objects.filter(project=queue.project_id)

    def clean(self) -> dict[str, Any]:
        """Put what is given into the queue, and say at its field what keeps that from being used."""
        given: dict[str, Any] = super().clean() or {}
        try:
            self.queue.rubric = rubric.as_json(rubric.read_text(given.pop("rubric", "")))
        except rubric.InvalidRubricError as error:
            self.add_error("rubric", str(error))
        for name, value in given.items():
            setattr(self.queue, name, value)
        if not self.errors:
            for field, text in queues.check(self.queue).items():
                self.add_error(field, text)
        return given


def the_queue(project: Project, queue_id: int) -> Queue:
    """Return a queue of the project; 404 for any other."""
    return get_object_or_404(Queue.objects.select_related("project", "dataset"), project=project, pk=queue_id)


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the queues, and a form for a new one."""
    return _list(request, project, QueueForm(Queue(project=project)))


def _list(request: HttpRequest, project: Project, form: QueueForm, status: int = 200) -> HttpResponse:
    done = Q(slots__status=Slot.Status.DONE)
    found = Queue.objects.filter(project=project).annotate(
        places=Count("slots"),
        done=Count("slots", filter=done),
        yours=Count("slots", filter=Q(slots__assignee=request.user.pk) & ~done),
    )
    context = {
        "project": project,
        "page": Paginator(found_in(request, found, "name").order_by("-pk"), PER_PAGE).get_page(request.GET.get("page")),
        "page_query": kept_query(request),
        "form": form,
        "datasets": Dataset.objects.filter(project=project)[:DATASETS_SHOWN],
        "may_edit": may_edit(request, project),
    }
    return render(request, "annotation/list.html", context, status=status)


@require_POST
@editor_page
def create(request: HttpRequest, project: Project) -> HttpResponse:
    """Add a queue without items."""
    queue = Queue(project=project, created_by=user_of(request))
    form = QueueForm(queue, request.POST)
    if not form.is_valid():
        return _list(request, project, form, status=422)
    queue.save()
    return redirect("annotation-queue", project.slug, queue.pk)


@explained
@project_page
def show_one(request: HttpRequest, project: Project, queue_id: int) -> HttpResponse:
    """Show a queue with a page of its items."""
    queue = the_queue(project, queue_id)
    initial = {name: getattr(queue, name) for name in ("name", "instructions", "annotators_per_item", "lease_minutes")}
    initial |= {"rubric": rubric.text_of(queue.dimensions), "dataset": queue.dataset_id}
    return _page(request, project, queue, QueueForm(queue, initial=initial))


def _page(request: HttpRequest, project: Project, queue: Queue, form: QueueForm, status: int = 200) -> HttpResponse:
    chosen = chosen_range(request)
    items = queue.items.prefetch_related("slots__annotator", "slots__assignee", "skips__annotator")
    # Whose answers are shown: somebody's, or those that are nobody's yet.
    whose = request.GET.get("for", "")[:150]
    if whose == NOBODY:
        items = items.filter(assigning.of_nobody())
    elif whose:
        items = items.filter(assigning.of_person(whose))
    page = Paginator(items.order_by("priority", "pk"), PER_PAGE).get_page(request.GET.get("page"))
    given = corrections(queue)
    context = {
        "project": project,
        "queue": queue,
        "form": form,
        "rubric": queue.dimensions,
        "progress": queues.progress(queue),
        "page": page,
        "page_query": kept_query(request),
        "whose": whose,
        "nobody": NOBODY,
        "whose_query": _without_whose(request),
        "shares": assigning.shares(queue),
        "yours": assigning.waiting_for(queue, request.user.pk),
        "annotators": assigning.annotators(project)[: assigning.MAX_PEOPLE],
        "items": _with_texts(project, list(page)),
        "chosen": chosen,
        "score_names": [name.name for name in scores.names(project.pk, chosen.range) if name.scored],
        "max_add": queues.MAX_ADD,
        "corrections": given[:CORRECTIONS_SHOWN],
        "correction_count": len(given),
        "datasets": Dataset.objects.filter(project=project)[:DATASETS_SHOWN],
        "is_annotated": queue.is_annotated,
        "may_annotate": may_annotate(request, project),
        "may_edit": may_edit(request, project),
    }
    return render(request, "annotation/queue.html", context, status=status)


def _without_whose(request: HttpRequest) -> str:
    """Return the parameters of the address but for whose answers and which page are shown."""
    kept = request.GET.copy()
    for name in ("for", "page"):
        kept.pop(name, None)
    return f"{kept.urlencode()}&" if kept else ""


def _with_texts(project: Project, items: list[Item]) -> list[tuple[Item, annotated.Preview | None]]:
    texts = annotated.previews(project.pk, [(item.trace_id, item.span_id, item.start_ns) for item in items])
    return [(item, texts.get((item.trace_id, item.span_id))) for item in items]


@project_page
def show_agreement(request: HttpRequest, project: Project, queue_id: int) -> HttpResponse:
    """Return how far annotators agree, as a fragment that the queue's page asks for by itself."""
    queue = the_queue(project, queue_id)
    context = {
        "project": project,
        "queue": queue,
        "agreement": agreement.agreement(queue),
        "disputes": agreement.disputed(queue),
    }
    return render(request, "annotation/_agreement.html", context)


@require_POST
@explained
@editor_page
def change(request: HttpRequest, project: Project, queue_id: int) -> HttpResponse:
    """Change a queue, or with `switch` close or open it."""
    queue = the_queue(project, queue_id)
    if request.POST.get("switch"):
        queue.is_open = not queue.is_open
        queue.save(update_fields=["is_open"])
        messages.success(request, f"{queue.name} is {'open' if queue.is_open else 'closed: nobody gets an answer'}.")
        return redirect("annotation-queue", project.slug, queue.pk)
    form = QueueForm(queue, request.POST)
    if not form.is_valid():
        return _page(request, project, Queue.objects.get(pk=queue.pk), form, status=422)
    queue.save()
    queues.change_places(queue)
    messages.success(request, f"{queue.name} is saved.")
    return redirect("annotation-queue", project.slug, queue.pk)


@require_POST
@editor_page
def delete(request: HttpRequest, project: Project, queue_id: int) -> HttpResponse:
    """Delete a queue with what was said in it, once its name was typed."""
    queue = the_queue(project, queue_id)
    if request.POST.get("name", "") != queue.name:
        messages.error(request, "Nothing was deleted: type the name of the queue to the letter.")
        return redirect("annotation-queue", project.slug, queue.pk)
    queue.delete()
    messages.success(request, f"{queue.name} is deleted; the scores that it gave stay with their spans.")
    return redirect("annotation", project.slug)


@require_POST
@explained
@editor_page
def fill(request: HttpRequest, project: Project, queue_id: int) -> HttpResponse:
    """Add the spans that `filter` finds in the page's time range: `limit` of them, newest or by `score` worst first."""
    queue = the_queue(project, queue_id)
    given = request.POST.get("limit", "")
    limit = int(given) if given.isdecimal() and len(given) < 6 else 100
    try:
        found = annotated.candidates(
            project.pk,
            parse(request.POST.get("filter", ""), chosen_range(request).range),
            score=request.POST.get("score", "").strip(),
            lowest=request.POST.get("order") != "highest",
            limit=max(1, min(limit, queues.MAX_ADD)),
        )
        added = queues.add(queue, found)
    except (InvalidFilterError, QueueFullError) as error:
        messages.error(request, f"Nothing was added. {error}")
    else:
        _say(request, queue, added)
    return redirect("annotation-queue", project.slug, queue.pk)


@project_page
def choose(request: HttpRequest, project: Project) -> HttpResponse:
    """Return a button a queue that adds the span `?item=` to it, as a fragment that a trace's page asks for."""
    try:
        (trace_id, span_id), *_ = parse_items([request.GET.get("item", "")])
    except InvalidRowError as error:
        raise Http404 from error
    context = {
        "project": project,
        "trace_id": trace_id,
        "span_id": span_id,
        "queues": Queue.objects.filter(project=project, is_open=True)[:PER_PAGE],
        "may_edit": may_edit(request, project),
    }
    return render(request, "annotation/_choose.html", context)


@require_POST
@explained
@editor_page
def add(request: HttpRequest, project: Project) -> HttpResponse:
    """Put traces or spans (`item`, repeated), or all that `filter` finds in the page's time range, into `queue`; then
    go to `next`."""
    given = request.POST.get("queue", "")
    try:
        items = parse_items(request.POST.getlist("item"))
        if not given.isdecimal() or len(given) > 18:
            raise InvalidRowError("queue", "choose one, or make one on the page Annotation")
        queue = the_queue(project, int(given))
        if items or "filter" not in request.POST:
            found, missing = choosing.named(project.pk, items)
        else:
            chosen = parse(request.POST["filter"], chosen_range(request).range)
            found, missing = annotated.candidates(project.pk, chosen, limit=queues.MAX_ADD), []
        added = queues.add(queue, found)
    except (InvalidRowError, InvalidFilterError, QueueFullError) as error:
        messages.error(request, f"Nothing was added. {error}")
        return redirect("annotation", project.slug)
    _say(request, queue, added)
    for item in missing[:3]:
        messages.warning(request, f"{item} was left out: the project has no such trace or span.")
    following = request.POST.get("next", "")
    if following and url_has_allowed_host_and_scheme(following, allowed_hosts={request.get_host()}):
        return redirect(following)
    return redirect("annotation-queue", project.slug, queue.pk)


def _say(request: HttpRequest, queue: Queue, added: queues.Added) -> None:
    known = f"; {added.known:,} were in it already" if added.known else ""
    if added.new:
        messages.success(request, f"{added.new:,} answer{'s' if added.new != 1 else ''} added to {queue.name}{known}.")
    else:
        messages.info(request, f"Nothing new for {queue.name}{known or '; the filter finds no answer in this time'}.")


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, queue_id: int, item_id: int) -> HttpResponse:
    """Take an item out of a queue."""
    queue = the_queue(project, queue_id)
    queues.remove(get_object_or_404(queue.items, pk=item_id))
    messages.success(request, "The answer is out of the queue.")
    return redirect("annotation-queue", project.slug, queue.pk)


@require_POST
@explained
@editor_page
def keep_corrections(request: HttpRequest, project: Project, queue_id: int) -> HttpResponse:
    """Make corrections rows of `dataset`, or of the queue's own: those of `annotation`, repeated, or all new ones."""
    queue = the_queue(project, queue_id)
    wanted = [int(each) for each in request.POST.getlist("annotation") if each.isdecimal() and len(each) < 18]
    chosen = corrections(queue, wanted or None)
    if not wanted:
        chosen = [each for each in chosen if each.annotation.dataset_id is None][:MAX_MOVED]
    given = request.POST.get("dataset", "")
    dataset = the_dataset(project, int(given)) if given.isdecimal() and len(given) < 18 else queue.dataset
    if dataset is None or not chosen:
        messages.error(request, "Choose a data set." if chosen else "There is no correction that is not a row yet.")
        return redirect("annotation-queue", project.slug, queue.pk)
    try:
        moved = to_dataset(chosen, dataset, user_of(request))
    except (InvalidRowError, TooManyRowsError) as error:
        messages.error(request, f"Nothing was added. {error}")
        return redirect("annotation-queue", project.slug, queue.pk)
    version = f", version {moved.version.number}" if moved.version else " already"
    messages.success(request, f"{moved.rows} correction{'s' * (moved.rows != 1)} in {dataset.name}{version}.")
    for item, reason in moved.refused[:3]:
        messages.warning(request, f"{item} was left out: {reason}")
    return redirect("annotation-queue", project.slug, queue.pk)
