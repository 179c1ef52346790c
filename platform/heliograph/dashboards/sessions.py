"""Sessions and users: what each cost, how fast and how good it was; and a session as it was held."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.money import Money, money
from heliograph.dashboards.project_settings import sending_context
from heliograph.dashboards.timerange import ChosenRange, chosen_range
from heliograph.query import attribution_totals, subjects
from heliograph.query.asking import asking
from heliograph.query.attribution import Cost
from heliograph.query.conversations import Exchange, exchanges
from heliograph.query.filters import TimeRange
from heliograph.query.paging import Page
from heliograph.query.prices import gpu_prices
from heliograph.query.scores import Score, of_traces
from heliograph.query.subjects import Kind, SubjectRow
from heliograph.query.traces import TraceRow, summaries

PAGE_SIZE = 50
# Exchanges of one page of a conversation: about what a person reads before going on.
EXCHANGES = 30
SCORES_SHOWN = 3
MAX_ID_CHARACTERS = 1_000


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show sessions, the one seen last first."""
    return _list(request, project, "session")


@explained
@project_page
def show_users(request: HttpRequest, project: Project) -> HttpResponse:
    """Show users, the one seen last first."""
    return _list(request, project, "user")


@explained
@project_page
def show_one(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the session that the address names as the conversation that it was."""
    chosen, session = chosen_range(request), request.GET.get("id", "")
    if not session:
        return _list(request, project, "session")
    row = _row(project, "session", session, chosen)
    if row is None:
        return _unknown(request, project, "session")
    page = subjects.trace_ids(
        project.pk, "session", session, chosen.range, cursor=request.GET.get("cursor") or None, limit=EXCHANGES
    )
    found = exchanges(project.pk, page.items)
    context = _of_one(request, project, chosen, "session", row) | {
        "exchanges": _judged(project, chosen, found),
        "next_url": _with_cursor(request, page.next_cursor),
    }
    return render(request, "dashboards/session.html", context)


@explained
@project_page
def show_user(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the user that the address names: their sums, their sessions and their latest traces."""
    chosen, user = chosen_range(request), request.GET.get("id", "")
    if not user:
        return _list(request, project, "user")
    if len(user) > MAX_ID_CHARACTERS:
        return _unknown(request, project, "user")
    cursor = request.GET.get("cursor") or None
    with asking() as ask:
        listed = ask(_traces, project.pk, user, chosen.range, cursor)
        row = subjects.get_subject(project.pk, "user", user, chosen.range)
        ids = [one for one in row.others if one] if row else []
        sessions = subjects.get_subjects(project.pk, "session", ids, chosen.range)
    page, known = listed.result()
    if row is None:
        return _unknown(request, project, "user")
    context = _of_one(request, project, chosen, "user", row) | {
        "sessions": _listed(project, chosen, "session", sorted(sessions, key=lambda each: -each.last_seen_ns)),
        "traces": [known[each] for each in page.items if each in known],
        "next_url": _with_cursor(request, page.next_cursor),
    }
    return render(request, "dashboards/user.html", context)


def _traces(project_id: int, user: str, span: TimeRange, cursor: str | None) -> tuple[Page[str], dict[str, TraceRow]]:
    page = subjects.trace_ids(project_id, "user", user, span, cursor=cursor, limit=PAGE_SIZE)
    return page, summaries(project_id, page.items)


@dataclass(frozen=True, slots=True)
class Listed:
    """One session or user, what it cost, and the scores that its row shows."""

    row: SubjectRow
    cost: Money


@dataclass(frozen=True, slots=True)
class JudgedExchange:
    """One exchange and the first scores of its trace."""

    exchange: Exchange
    scores: tuple[Score, ...]
    cost: Money

    @property
    def trace(self) -> TraceRow:
        """The trace of the exchange."""
        return self.exchange.trace


def _list(request: HttpRequest, project: Project, kind: Kind) -> HttpResponse:
    chosen = chosen_range(request)
    text = request.GET.get("q", "").strip()
    page = subjects.list_subjects(
        project.pk, kind, chosen.range, text=text, cursor=request.GET.get("cursor") or None, limit=PAGE_SIZE
    )
    names: dict[str, int] = {}
    for row in page.items:
        for score in row.scores:
            names[score.name] = names.get(score.name, 0) + score.scored
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "kind": kind,
        "text": text,
        "listed": _listed(project, chosen, kind, page.items),
        # What most of them were judged by; one's other scores stand on its own page.
        "score": max(names, key=lambda name: names[name], default=""),
        "is_later": bool(request.GET.get("cursor")),
        "next_url": _with_cursor(request, page.next_cursor),
        **sending_context(project),
    }
    return render(request, "dashboards/sessions.html", context)


def _row(project: Project, kind: Kind, wanted: str, chosen: ChosenRange) -> SubjectRow | None:
    return subjects.get_subject(project.pk, kind, wanted, chosen.range) if len(wanted) <= MAX_ID_CHARACTERS else None


def _unknown(request: HttpRequest, project: Project, kind: Kind) -> HttpResponse:
    reason = f"No span of this time range names such a {kind} in {project.name}. Choose a longer time range."
    context = {"project": project, "title": f"No such {kind}", "reason": reason}
    return render(request, "dashboards/failure.html", context, status=404)


def _of_one(request: HttpRequest, project: Project, chosen: ChosenRange, kind: Kind, row: SubjectRow) -> dict[str, Any]:
    return {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "kind": kind,
        "row": row,
        "cost": _listed(project, chosen, kind, [row])[0].cost,
        "is_later": bool(request.GET.get("cursor")),
    }


def _listed(project: Project, chosen: ChosenRange, kind: Kind, rows: Sequence[SubjectRow]) -> list[Listed]:
    own = subjects.own_costs(project.pk, rows, kind, chosen.range, gpu_prices(project.pk))
    return [Listed(row, money(row.known_cost, row.unpriced_count, own.get(row.id))) for row in rows]


def _judged(project: Project, chosen: ChosenRange, found: list[Exchange]) -> list[JudgedExchange]:
    given = of_traces(project.pk, [each.trace.trace_id for each in found], chosen.range)
    prices = gpu_prices(project.pk)
    own: dict[str, Cost] = (
        attribution_totals.of_traces(project.pk, [each.trace for each in found], prices) if prices else {}
    )
    return [
        JudgedExchange(
            each,
            tuple(given.get(each.trace.trace_id, ())[:SCORES_SHOWN]),
            money(each.trace.known_cost, each.trace.unpriced_count, own.get(each.trace.trace_id)),
        )
        for each in found
    ]


def _with_cursor(request: HttpRequest, cursor: str | None) -> str:
    if cursor is None:
        return ""
    parameters = request.GET.copy()
    parameters["cursor"] = cursor
    return "?" + parameters.urlencode()
