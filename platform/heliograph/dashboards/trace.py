"""One trace: its waterfall and the chosen span beside it. Where it ran comes by itself (`where`)."""

import json
import shlex
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.dashboards.access import may_edit, project_page
from heliograph.dashboards.conversation import Conversation
from heliograph.dashboards.failures import explained
from heliograph.dashboards.grounding import sentences, sentences_with_evidence
from heliograph.dashboards.money import money
from heliograph.dashboards.trace_neighbours import list_of
from heliograph.dashboards.waterfall import Row, opened, rows
from heliograph.datasets.models import Dataset
from heliograph.query import attribution_totals, completeness, scores
from heliograph.query.messages import ToolDefinition
from heliograph.query.placement import MODEL_KINDS
from heliograph.query.prices import gpu_prices
from heliograph.query.spans import SpanDetail, get_span
from heliograph.query.timing import Split, TimedCall, split
from heliograph.query.traces import Trace, get_trace
from heliograph.remap.inspect import mapping_of
from heliograph.rules.pins import pinned_of

# Rows that the page itself holds, more than a screen shows; its script fetches all of them packed (`waterfall_rows`).
FIRST_ROWS = 100
TICKS = 5
# Of the critical path, what to look at first.
LONGEST = 8
# The head names the first scores; those of one span stand beside it.
SCORES_IN_HEAD = 8


_EXPERIMENT = {"id": "experiment.id", "name": "experiment.name", "row": "row.id"}


@explained
@project_page
def show(request: HttpRequest, project: Project, trace_id: str) -> HttpResponse:
    """Show a trace with the span that the address names, else the first model call, else the root."""
    trace = get_trace(project.pk, trace_id.lower())
    if trace is None:
        context = {"project": project, "trace_id": trace_id}
        return render(request, "dashboards/trace_missing.html", context, status=404)
    known = completeness.states(project.pk, [trace.summary.trace_id]).get(trace.summary.trace_id)
    if known is not None and known.state == "removed" and not trace.spans:
        context = {"project": project, "trace_id": trace_id, "removed": known, "summary": trace.summary}
        return render(request, "dashboards/trace_missing.html", context, status=410)
    waterfall = rows(trace.spans, trace.summary.start_ns, trace.summary.end_ns)
    chosen = _chosen_span(request, trace, waterfall)
    listed = list_of(request, project)
    given = scores.of_trace(project.pk, trace.summary.trace_id)
    own = attribution_totals.of_traces(project.pk, [trace.summary], gpu_prices(project.pk))
    context = {
        "project": project,
        "trace": trace,
        "summary": trace.summary,
        "row_count": len(waterfall),
        "rows": opened(waterfall, chosen, FIRST_ROWS),
        **_path(waterfall, trace.summary.duration_ns),
        "ticks": _ticks(trace),
        "cost": money(trace.summary.known_cost, trace.summary.unpriced_count, own.get(trace.summary.trace_id)),
        "completeness": known,
        "pin": pinned_of(project.pk, [trace.summary.trace_id]).get(trace.summary.trace_id),
        "may_edit": may_edit(request, project),
        "last_dataset": Dataset.objects.filter(project=project).only("pk", "name").first(),
        "trace_scores": given[:SCORES_IN_HEAD],
        "more_scores": max(len(given) - SCORES_IN_HEAD, 0),
        "curl": _curl(request, trace.summary.trace_id),
        "listed": listed,
        "list_query": f"{urlencode({'list': listed})}&" if listed else "",
        "json_url": _json_url(project, trace.summary.trace_id),
        **_span_context(project, trace.summary.trace_id, chosen, given),
    }
    above = next((row.parent_span_id for row in trace.spans if row.span_id == chosen), "")
    context["parent"] = next((row for row in trace.spans if row.span_id == above), None)
    return render(request, "dashboards/trace.html", context)


@explained
@project_page
def show_span(request: HttpRequest, project: Project, trace_id: str, span_id: str) -> HttpResponse:
    """Show one span as a fragment for the right half of the page."""
    given = scores.of_trace(project.pk, trace_id.lower())
    context = {"project": project} | _span_context(project, trace_id.lower(), span_id, given)
    above = context["span"].parent_span_id
    context["parent"] = get_span(project.pk, trace_id.lower(), above) if above else None
    return render(request, "dashboards/_span.html", context)


@explained
@project_page
def show_evidence(request: HttpRequest, project: Project, trace_id: str, span_id: str) -> HttpResponse:
    """Show the judged sentences of a span with their evidence, as a fragment that the page asks for by itself."""
    span = get_span(project.pk, trace_id.lower(), span_id)
    if span is None:
        raise Http404
    given = scores.of_span(scores.of_trace(project.pk, span.trace_id), span.span_id)
    context = {"sentences": sentences_with_evidence(project.pk, span, given), "has_evidence": True}
    return render(request, "dashboards/_sentences.html", context)


def _chosen_span(request: HttpRequest, trace: Trace, waterfall: list[Row]) -> str:
    wanted = request.GET.get("span", "").lower()
    if any(span.span_id == wanted for span in trace.spans):
        return wanted
    first = next((row for row in waterfall if row.span.kind == "llm"), waterfall[0] if waterfall else None)
    return first.span.span_id if first else ""


@dataclass(frozen=True, slots=True)
class SentAttribute:
    """An attribute as it was sent, and whether anybody reads it (see `inspect.RawKey`)."""

    key: str
    value: str
    use: str
    fields: tuple[str, ...]
    dialect: str


def _path(waterfall: list[Row], duration_ns: int) -> dict[str, Any]:
    """Return the rows on the critical path, and those that it spends most time in with their share of the whole."""
    path = [row for row in waterfall if row.path_ns]
    longest = sorted(path, key=lambda row: -(row.path_ns or 0))[:LONGEST]
    shares = [{"span": row.span, "path_ns": row.path_ns, "share": (row.path_ns or 0) / duration_ns} for row in longest]
    return {"path": path, "longest": shares}


def _json_url(project: Project, trace_id: str) -> str:
    return f"/api/v1/traces/{trace_id}?project={project.slug}"


def _curl(request: HttpRequest, trace_id: str) -> str:
    """Return a command that a person can paste: the key stays in their shell."""
    url = request.build_absolute_uri(f"/api/v1/traces/{trace_id}")
    return f'curl -fsS -H "x-api-key: $HELIOGRAPH_API_KEY" {shlex.quote(url)}'


def _experiment(span: SpanDetail) -> dict[str, str]:
    """Return the run that a span says it is of: its id, its name and the row; {} where it is of none."""
    found = {name: span.attributes.get(f"heliograph.{key}", "") for name, key in _EXPERIMENT.items()}
    # Whoever sends spans may write anything there; the page of a run of another project does not exist.
    return found if found["id"].isdecimal() and len(found["id"]) < 18 else {}


def _span_context(project: Project, trace_id: str, span_id: str, given: list[scores.Score]) -> dict[str, Any]:
    span = get_span(project.pk, trace_id, span_id) if span_id else None
    if span is None:
        raise Http404("no such span in this trace")
    span_scores = scores.of_span(given, span.span_id)
    mapping = mapping_of(project.pk, span)
    return {
        "span": span,
        "conversation": Conversation.of(span),
        "span_scores": span_scores,
        "sentences": sentences(span, span_scores),
        "split": _split(span),
        "is_model_call": span.kind in MODEL_KINDS,
        "experiment": _experiment(span),
        "modality_tokens": [(name.replace("_", " "), tokens) for name, tokens in span.modality_tokens.items()],
        "tools": [(tool, _schema(tool)) for tool in span.tool_definitions],
        "mapping": mapping,
        "attributes": [
            SentAttribute(key.key, _pretty(span.attributes[key.key]), key.use, key.fields, key.dialect)
            for key in mapping.keys
        ],
        "resource": sorted(span.resource.items()),
    }


def _schema(tool: ToolDefinition) -> str:
    return json.dumps(tool.parameters, indent=2, ensure_ascii=False) if tool.parameters else ""


def _split(span: SpanDetail) -> Split:
    return split(
        TimedCall(
            duration_ns=span.duration_ns,
            dialect=span.dialect,
            ttft_ns=span.ttft_ns,
            queue_ns=span.queue_ns,
            prefill_ns=span.prefill_ns,
            decode_ns=span.decode_ns,
            output_tokens=span.output_tokens,
            attributes=span.attributes,
        )
    )


def _pretty(value: str) -> str:
    """Return JSON objects and lists indented, everything else as it is."""
    if not value.startswith(("{", "[")):
        return value
    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return value  # cut at a cap, or a text that only looks like JSON


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the time axis: where, in percent, and how long after the start."""

    left: float
    after_ns: int


def _ticks(trace: Trace) -> list[Tick]:
    length = trace.summary.duration_ns
    return [Tick(round(100 * index / TICKS, 2), length * index // TICKS) for index in range(TICKS)]
