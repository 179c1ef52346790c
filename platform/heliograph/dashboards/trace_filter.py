"""The filter of the list of traces: one text, which links and facets edit."""

from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, QueryDict

from heliograph.accounts.models import Project
from heliograph.query import language
from heliograph.query.asking import Ask
from heliograph.query.facets import FacetValue, facets
from heliograph.query.filters import InvalidFilterError, RollupFilter, ScoreBound, SpanFilter, TimeRange
from heliograph.query.scores import LabelCount, labels
from heliograph.query.terms import quote, written

# A panel is for the frequent values; the others are found by typing.
FACET_VALUES = 12
# What other pages' links may name beside the text; each may be repeated.
NAMED = (
    "service",
    "model",
    "adapter",
    "provider",
    "status",
    "environment",
    "release",
    "kind",
    "session",
    "user",
    "tag",
    "name",
    "host",
)
# Scores that are a label, as name=label.
LABEL = "label"
# What a page has begun to count (`begin_panels`).
Counted = tuple[Future[dict[str, tuple[FacetValue, ...]]], Future[list[LabelCount]]]
# A number of a link, and the term that it stands for.
_NUMBERS = {"min_ms": "latency>={}ms", "score_below": "score.groundedness<{}"}


@dataclass(frozen=True, slots=True)
class AskedFor:
    """What the address asks for: the text, the filter that it is, and why it is none where it is not."""

    text: str
    spans: SpanFilter
    error: str


@dataclass(frozen=True, slots=True)
class FacetLink:
    """One value of a facet, and the address with it switched on or off in the text."""

    value: str
    spans: int
    url: str
    current: bool


@dataclass(frozen=True, slots=True)
class FacetPanel:
    """One field of the filter panel; counts are of spans."""

    field: str
    links: tuple[FacetLink, ...]


def text_of(parameters: QueryDict) -> str:
    """Return the filter's text: `q`, and what a link named beside it. Raises InvalidFilterError."""
    terms = [parameters.get("q", "").strip()]
    for name in NAMED:
        if values := parameters.getlist(name):
            terms.append(f"{name}:{','.join(written(value) for value in values)}")
    for name, term in _NUMBERS.items():
        if bound := parameters.get(name, "").strip():
            terms.append(term.format(bound))
    for given in parameters.getlist(LABEL):
        name, equals, label = given.partition("=")
        if not (name and equals and label):
            raise InvalidFilterError(LABEL, "reads name=label")
        terms.append(f"score.{quote(name)}:{quote(label)}")
    return " ".join(term for term in terms if term)


def asked_for(request: HttpRequest, span: TimeRange) -> AskedFor:
    """Read the filter; one that cannot be read picks everything and says why."""
    text = request.GET.get("q", "")
    try:
        text = text_of(request.GET)
        return AskedFor(text, language.parse(text, span), "")
    except InvalidFilterError as invalid:
        return AskedFor(text, SpanFilter(range=span), f"This filter cannot be read: {invalid.message}")


def with_text(parameters: QueryDict, text: str) -> str:
    """Return the page's address with another text, from the first page."""
    dropped = {"q", "cursor", LABEL, *NAMED, *_NUMBERS}
    pairs = [(name, value) for name, values in parameters.lists() for value in values if name not in dropped]
    return "?" + urlencode([*([("q", text)] if text else []), *pairs])


def begin_panels(ask: Ask, project: Project, asked: AskedFor) -> Counted:
    """Begin to count the values of the rolled-up fields, and the labels."""
    return (
        ask(facets, project.pk, RollupFilter.of(asked.spans), limit=FACET_VALUES),
        ask(labels, project.pk, asked.spans.range, limit=FACET_VALUES),
    )


def panels(request: HttpRequest, asked: AskedFor, counted: Counted) -> list[FacetPanel]:
    """Return what was counted; each link edits the text."""
    found, given = counted[0].result(), counted[1].result()
    shown = [FacetPanel(field, tuple(_link(request, asked, field, each) for each in found[field])) for field in found]
    failed = sum(value.errors for value in found["kind"])
    status = FacetValue("error", failed, failed)
    return [
        FacetPanel("status", (_link(request, asked, "status", status),) if failed else ()),
        *shown,
        FacetPanel(LABEL, tuple(_label_link(request, asked, each.name, each.label, each.scores) for each in given)),
    ]


def toggled(spans: SpanFilter, field: str, value: str) -> SpanFilter:
    """Return the filter with one plain value more, or without it where it has it."""
    values: tuple[str, ...] = getattr(spans, field)
    kept = tuple(each for each in values if each != value)
    changed: dict[str, Any] = {field: kept if value in values else (*values, value)}
    return replace(spans, **changed)


def _link(request: HttpRequest, asked: AskedFor, field: str, entry: FacetValue) -> FacetLink:
    text = language.format(toggled(asked.spans, field, entry.value))
    is_on = entry.value in getattr(asked.spans, field)
    return FacetLink(entry.value, entry.spans, with_text(request.GET, text), is_on)


def _label_link(request: HttpRequest, asked: AskedFor, name: str, label: str, count: int) -> FacetLink:
    bounds = asked.spans.scores
    is_on = any(bound.name == name and label in bound.labels for bound in bounds)
    # Another label of the same score is an alternative, as the language reads it.
    plain = next((bound for bound in bounds if bound.name == name and bound.labels and not bound.negated), None)
    others = tuple(bound for bound in bounds if bound is not plain)
    chosen = [each for each in (plain.labels if plain else ()) if each != label] + ([] if is_on else [label])
    kept = (ScoreBound(name, labels=tuple(chosen)),) if chosen else ()
    text = language.format(replace(asked.spans, scores=(*others, *kept)))
    return FacetLink(f"{name}={label}", count, with_text(request.GET, text), is_on)
