"""Two traces side by side: their figures, the spans that answer to each other, and what one span said in each."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.text_diff import Difference, difference
from heliograph.query.messages import parse_messages
from heliograph.query.spans import SpanDetail, get_span
from heliograph.query.trace_diff import MAX_SPANS, Pair, compare
from heliograph.query.traces import Trace, TraceRow, get_trace

MAX_ID_CHARACTERS = 64
# Attributes that differ, of one span; the rest is in the traces themselves.
MAX_PARAMETERS = 60


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Compare the traces `before` and `after`; without both, ask for the one that is missing.

    `left` and `right` name a span of each, whose texts and parameters are then compared too.
    """
    ids = {side: request.GET.get(side, "").strip().lower()[:MAX_ID_CHARACTERS] for side in ("before", "after")}
    found = {side: get_trace(project.pk, trace_id) if trace_id else None for side, trace_id in ids.items()}
    context: dict[str, Any] = {"project": project, "ids": ids}
    context["missing"] = [side for side, trace_id in ids.items() if trace_id and found[side] is None]
    before, after = found["before"], found["after"]
    if before is None or after is None:
        return render(request, "dashboards/trace_compare.html", context, status=404 if context["missing"] else 200)
    pairs = compare(before.spans, after.spans)
    context |= {
        "before": before.summary,
        "after": after.summary,
        "figures": _figures(before, after),
        "pairs": [_row(pair) for pair in pairs],
        "is_cut": max(len(before.spans), len(after.spans)) > MAX_SPANS or before.is_cut or after.is_cut,
        "chosen": _chosen(request, project, before.summary, after.summary, pairs),
    }
    return render(request, "dashboards/trace_compare.html", context)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of both traces. `unit` is the name of the template's way to write it."""

    title: str
    unit: str
    before: Any
    after: Any

    @property
    def change(self) -> float | None:
        """The relative change, such as 0.25 for a quarter more; None without a base."""
        return None if self.before is None or self.after is None or not self.before else _ratio(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Row:
    """A pair of spans with how its duration and cost changed."""

    pair: Pair
    duration: float | None

    @property
    def span(self) -> Any:
        """Whichever of the two there is, the second first."""
        return self.pair.after or self.pair.before


@dataclass(frozen=True, slots=True)
class Parameter:
    """An attribute that differs; '' where one has none."""

    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """One pair of spans in full: what was said and answered in each, and with which parameters."""

    before: SpanDetail | None
    after: SpanDetail | None
    said: Difference
    answered: Difference
    parameters: tuple[Parameter, ...]


def _figures(before: Trace, after: Trace) -> list[Figure]:
    def figure(title: str, unit: str, name: str) -> Figure:
        return Figure(title, unit, getattr(before.summary, name), getattr(after.summary, name))

    return [
        figure("Duration", "duration", "duration_ns"),
        figure("First token", "duration", "ttft_ns"),
        figure("Cost", "usd", "known_cost"),
        figure("Tokens in", "count", "input_tokens"),
        figure("Tokens out", "count", "output_tokens"),
        figure("Spans", "count", "span_count"),
        figure("Model calls", "count", "llm_count"),
        figure("Failed spans", "count", "error_count"),
    ]


def _ratio(before: int | float | Decimal, after: int | float | Decimal) -> float:
    return float(after) / float(before) - 1


def _row(pair: Pair) -> Row:
    lengths = [None if one is None else one.duration_ns for one in (pair.before, pair.after)]
    return Row(pair, _ratio(lengths[0], lengths[1]) if lengths[0] and lengths[1] is not None else None)


def _chosen(
    request: HttpRequest, project: Project, before: TraceRow, after: TraceRow, pairs: list[Pair]
) -> Chosen | None:
    """Return the pair that the address names, else the first model call that both have."""
    left, right = (request.GET.get(name, "").lower()[:MAX_ID_CHARACTERS] for name in ("left", "right"))
    if not left and not right:
        both = [(pair.before, pair.after) for pair in pairs if pair.before and pair.after]
        changed = [(pair.before, pair.after) for pair in pairs if pair.before and pair.after and pair.is_changed]
        calls = [two for two in changed if two[1].kind == "llm"]
        first = next(iter((*calls, *changed, *both)), None)
        if first is None:
            return None
        left, right = first[0].span_id, first[1].span_id
    one = get_span(project.pk, before.trace_id, left) if left else None
    other = get_span(project.pk, after.trace_id, right) if right else None
    if one is None and other is None:
        raise Http404("no such span in these traces")
    return Chosen(
        one,
        other,
        difference(_text(one.input if one else ""), _text(other.input if other else "")),
        difference(_text(one.output if one else ""), _text(other.output if other else "")),
        tuple(_parameters(one.attributes if one else {}, other.attributes if other else {})),
    )


def _text(stored: str) -> str:
    """Return messages as a text: who said what, one after the other."""
    said = []
    for message in parse_messages(stored):
        parts = [message.text] if message.text else []
        parts += [str(part) for part in message.parts if part.get("type") != "text"]
        said.append((f"{message.role}: " if message.role else "") + "\n".join(parts))
    return "\n".join(said)


# What a message holds is compared as text; here are the parameters of a call.
_TEXTS = ("message", "prompt", "completion", "input.value", "output.value", "instructions", "documents")


def _parameters(before: Mapping[str, str], after: Mapping[str, str]) -> list[Parameter]:
    keys = sorted(key for key in before.keys() | after.keys() if not any(part in key for part in _TEXTS))
    changed = [Parameter(key, before.get(key, ""), after.get(key, "")) for key in keys]
    return [one for one in changed if one.before != one.after][:MAX_PARAMETERS]
