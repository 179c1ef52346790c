"""The ingest page: what came in, what became of it, what waits, and what could not be stored."""

import string
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from heliograph.accounts.models import ApiKey, Project
from heliograph.clickhouse.errors import StoreError
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.charts import Chart, Series, over_range
from heliograph.dashboards.timerange import ChosenRange, chosen_range
from heliograph.dashboards.wording import so_many_are
from heliograph.ingest.dead_letters import DeadLetters, Letter, NoLetterError
from heliograph.ingest.letter_view import view_of
from heliograph.ingest.refusals import Refusal
from heliograph.ingest.spool_state import state_of
from heliograph.query import ledger
from heliograph.query.agent_clocks import AgentClock, agent_clocks
from heliograph.query.filters import TimeRange
from heliograph.query.ledger import Clock, Counts, Flow, FlowPoint, LagPoint, ReasonCount

_FILE_NAME_CHARACTERS = frozenset(string.ascii_lowercase + string.digits + "-")


@dataclass(frozen=True, slots=True)
class NamedFlow:
    """A row of the table: a flow with its key's name."""

    key: str
    flow: Flow


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that the store is asked for the page."""

    flows: Sequence[Flow]
    points: Sequence[FlowPoint]
    lags: Sequence[LagPoint]
    reasons: Sequence[ReasonCount]
    clocks: Sequence[Clock]
    # GPU hosts whose clock is over a second from the server's.
    agents: Sequence[AgentClock]


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page; without the store, what is known without it. To htmx, only the numbers of now."""
    chosen = chosen_range(request)
    if request.headers.get("hx-request") and not request.headers.get("hx-history-restore-request"):
        return _show_now(request, project, chosen)
    books, failure = None, ""
    try:
        books = _read(project.pk, chosen.range)
    except StoreError as error:
        failure = error.user_text
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "failure": failure,
        "books": books,
        "rows": _named(project, books.flows) if books else [],
        "total": _total(books.flows) if books else Counts(),
        "charts": over_range(_charts(books), chosen.range) if books else [],
        "spool": state_of(settings.SPOOL_DIR, settings.SPOOL_MAX_BYTES),
        "letters": DeadLetters(settings.SPOOL_DIR).all_of(project.pk),
        "letter_days": settings.DEAD_LETTER_DAYS,
        "may_edit": may_edit(request, project),
        "is_current": chosen.preset != "custom",
    }
    return render(request, "dashboards/ingest.html", context)


def _show_now(request: HttpRequest, project: Project, chosen: ChosenRange) -> HttpResponse:
    flows: list[Flow] | None = None
    # Without the store the spool is shown alone; the page around it says so.
    with suppress(StoreError):
        flows = ledger.flows(project.pk, chosen.range)
    context = {
        "books": flows is not None,
        "total": _total(flows or []),
        "spool": state_of(settings.SPOOL_DIR, settings.SPOOL_MAX_BYTES),
        "is_current": True,
    }
    return render(request, "dashboards/_ingest_now.html", context)


@project_page
def show_letter(request: HttpRequest, project: Project, letter_id: str) -> HttpResponse:
    """Show one dead letter."""
    try:
        letter, export = DeadLetters(settings.SPOOL_DIR).get(project.pk, letter_id)
    except NoLetterError as error:
        raise Http404 from error
    context = {
        "project": project,
        "letter": letter,
        "key": _key_names(project).get(letter.key_id, "no key"),
        "view": view_of(export),
        "may_edit": may_edit(request, project),
    }
    return render(request, "dashboards/ingest_letter.html", context)


@project_page
def download_letter(request: HttpRequest, project: Project, letter_id: str) -> HttpResponse:
    """Send the body as it came; never as something that a browser would run."""
    try:
        letter, export = DeadLetters(settings.SPOOL_DIR).get(project.pk, letter_id)
    except NoLetterError as error:
        raise Http404 from error
    return body_response(letter, export.body)


@require_POST
@editor_page
def replay_letter(request: HttpRequest, project: Project, letter_id: str) -> HttpResponse:
    """Send a letter through the pipeline again."""
    try:
        items = DeadLetters(settings.SPOOL_DIR).replay(project.pk, letter_id)
    except NoLetterError as error:
        raise Http404 from error
    except Refusal as refusal:
        messages.error(request, f"The body still cannot be read, and stays here. {refusal.message}")
        return redirect("ingest-letter", project.slug, letter_id)
    messages.success(request, f"{so_many_are(items, 'item')} on the way; stored within seconds, each once.")
    return redirect("ingest", project.slug)


@require_POST
@editor_page
def delete_letter(request: HttpRequest, project: Project, letter_id: str) -> HttpResponse:
    """Forget a letter."""
    try:
        DeadLetters(settings.SPOOL_DIR).delete(project.pk, letter_id)
    except NoLetterError as error:
        raise Http404 from error
    messages.success(request, "The dead letter is deleted.")
    return redirect("ingest", project.slug)


def body_response(letter: Letter, body: bytes) -> HttpResponse:
    """Return a letter's body as a file to save."""
    response = HttpResponse(body, content_type="application/octet-stream")
    name = "".join(one for one in f"{letter.signal}-{letter.id}" if one in _FILE_NAME_CHARACTERS)
    response["Content-Disposition"] = f'attachment; filename="{name}.bin"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _read(project_id: int, span: TimeRange) -> Books:
    return Books(
        flows=ledger.flows(project_id, span),
        points=ledger.series(project_id, span),
        lags=ledger.lag_series(project_id, span),
        reasons=ledger.reasons(project_id, span),
        clocks=ledger.clocks(project_id, span),
        agents=[each for each in agent_clocks(project_id, span) if each.warning],
    )


def _key_names(project: Project) -> dict[int, str]:
    return {key.pk: str(key) for key in ApiKey.objects.filter(project=project)}


def _named(project: Project, flows: Sequence[Flow]) -> list[NamedFlow]:
    names = _key_names(project)
    return [NamedFlow(names.get(flow.key_id, "no key" if not flow.key_id else "deleted key"), flow) for flow in flows]


def _total(flows: Sequence[Flow]) -> Counts:
    return Counts(**{one.name: sum(getattr(flow.counts, one.name) for flow in flows) for one in fields(Counts)})


def _charts(books: Books) -> list[Chart]:
    counts = [point.counts for point in books.points]
    return [
        Chart(
            "ingest",
            "How many spans, data points and log records came in?",
            "count",
            [point.start_s * 1000 for point in books.points],
            [
                Series("accepted at once", [max(row.accepted - row.spooled, 0) for row in counts], "light"),
                Series("spooled", [row.spooled for row in counts], "strong"),
                Series("rejected", [row.rejected for row in counts], "bad"),
            ],
            kind="bar",
        ),
        Chart(
            "lag",
            "How long from a span's end until it was stored?",
            "ns",
            [point.start_s * 1000 for point in books.lags],
            [
                Series("p50", [_ns(point.p50_s) for point in books.lags]),
                Series("p95", [_ns(point.p95_s) for point in books.lags], "light"),
                Series("p99", [_ns(point.p99_s) for point in books.lags], "faint"),
            ],
            empty="No finished span was stored in this time range.",
        ),
    ]


def _ns(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e9
