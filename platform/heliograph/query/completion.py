"""What may follow in a filter that somebody is typing: fields, and values that the project's spans have.

- `suggest(project_id, text, at, range) -> list[Suggestion]`; `at` is where the caret stands
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from collectors.semconv.request import REQUEST, RESPONSE
from heliograph.clickhouse import client
from heliograph.query import attribute_keys, fields, scores
from heliograph.query.facets import FIELDS as COUNTED
from heliograph.query.facets import facets
from heliograph.query.filters import RollupFilter, TimeRange, put, started_in
from heliograph.query.terms import MAX_TEXT_CHARACTERS, quote, written

# A list beside a box: more is found by typing on.
MOST = 12
# About 30 ms of one column; what the newest spans do not have is typed by hand.
SAMPLE_SPANS = 20_000
# Of a counted field so many values are looked at.
_COUNTED_VALUES = 500

_TERM = re.compile(r'(?P<name>[A-Za-z_]\w*(?:\.(?:"[^"]*"|[^\s:<>=!,"]+))?)(?P<sign><=|>=|!=|[:<>=])(?P<rest>.*)', re.S)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Put `text` in the place of letters `start` to `end` (from 0, behind the last); `label` and `note` are shown."""

    text: str
    start: int
    end: int
    label: str
    note: str


@dataclass(frozen=True, slots=True)
class _Place:
    """What stands at the caret: of which field a value is begun, or '' for a name; `start` and `end` of the begun."""

    field: str
    begun: str
    start: int
    end: int


VALUES = """
SELECT value, count() AS spans
FROM (
    SELECT {expression} AS value
    FROM spans
    WHERE project_id = %(project_id)s AND {where}
    ORDER BY toStartOfMinute(start_time) DESC, start_time DESC
    LIMIT %(sample)s
)
WHERE value != '' AND positionCaseInsensitiveUTF8(value, %(begun)s) > 0
GROUP BY value
ORDER BY startsWith(lower(value), lower(%(begun)s)) DESC, spans DESC, value
LIMIT %(limit)s
"""


def suggest(project_id: int, text: str, at: int, span: TimeRange) -> list[Suggestion]:
    """Return at most MOST continuations, the likeliest first."""
    place = _place(text[:MAX_TEXT_CHARACTERS], at)
    if place is None:
        return []
    found = _values(project_id, place, span) if place.field else _names(project_id, place, span)
    return [Suggestion(put_in, place.start, place.end, label, note) for put_in, label, note in found[:MOST]]


def _place(text: str, at: int) -> _Place | None:
    at = min(max(at, 0), len(text))
    start, is_quoted = 0, False
    for place, letter in enumerate(text[:at]):
        if letter == '"' and (place == 0 or text[place - 1] != "\\"):
            is_quoted = not is_quoted
        elif letter.isspace() and not is_quoted:
            start = place + 1
    token = text[start:at]
    if token.startswith("-"):
        start, token = start + 1, token[1:]
    term = _TERM.fullmatch(token)
    if token.startswith('"') or (is_quoted and not term):
        return None
    rest = re.match(r'[^\s,"]*"?', text[at:])
    end = at + (rest.end() if rest else 0)
    if not term:
        return _Place("", token, start, end)
    begun = term["rest"].rpartition(",")[2]
    return _Place(term["name"], begun.removeprefix('"'), at - len(begun), end)


_Found = list[tuple[str, str, str]]


def _names(project_id: int, place: _Place, span: TimeRange) -> _Found:
    prefix, dot, rest = place.begun.partition(".")
    if dot and prefix == "attributes":
        keys = (key.as_sent for key in attribute_keys.recent_keys(project_id, span).keys)
        return [(f"attributes.{_key(key)}:", f"attributes.{key}", "attribute") for key in _matching(keys, rest)]
    if dot and prefix in {"request", "response"}:
        names_known = REQUEST if prefix == "request" else RESPONSE
        return [(f"{prefix}.{name}:", f"{prefix}.{name}", "") for name in _matching(names_known, rest)]
    if dot and prefix == "score":
        names = (score.name for score in scores.names(project_id, span))
        return [(f"score.{_key(name)}<", f"score.{name}", "score") for name in _matching(names, rest)]
    known = {field.name: (f"{field.name}{'>' if field.is_number else ':'}", field.help) for field in fields.FIELDS}
    known |= {
        "has": ("has:", "Something is there."),
        "score": ("score.", "A score of the trace."),
        "attributes": ("attributes.", "An attribute as it came."),
        "resource": ("resource.", "An attribute of the resource."),
        "request": ("request.", "What the call asked for, such as temperature."),
        "response": ("response.", "What the server said of itself."),
    }
    return [(known[name][0], name, known[name][1]) for name in _matching(known, place.begun)]


def _values(project_id: int, place: _Place, span: TimeRange) -> _Found:
    if place.field == "has":
        return [(f"{name} ", name, "") for name in _matching((*fields.PRESENCE, "score"), place.begun)]
    field = fields.find(place.field)
    in_map = fields.of_map(place.field)
    if field and field.choices:
        return [(f"{name} ", name, "") for name in _matching(field.choices, place.begun)]
    if field and field.name in COUNTED:
        counted = facets(project_id, RollupFilter(range=span), limit=_COUNTED_VALUES)[field.name]
        spans = {value.value: value.spans for value in counted}
        return [_value(value, spans[value]) for value in _matching(spans, place.begun)]
    if in_map:
        return _sampled(project_id, f"{in_map[0]}[%(key)s]", place, span, in_map[1])
    if field and not field.is_number and field.name not in {"trace", "span"}:
        expression = f"arrayJoin({field.expression})" if field.kind == "list" else field.expression
        return _sampled(project_id, expression, place, span)
    return []


def _sampled(project_id: int, expression: str, place: _Place, span: TimeRange, key: str = "") -> _Found:
    where, parameters = started_in(span)
    parameters |= {"sample": SAMPLE_SPANS, "begun": place.begun, "limit": MOST, "key": key}
    sql = put(VALUES, expression=expression, where=where)
    rows = client.query(project_id, sql, parameters, tag="completion.values")
    return [_value(row["value"], row["spans"]) for row in rows]


def _value(value: str, spans: int) -> tuple[str, str, str]:
    return f"{written(value)} ", value, f"{spans:,} spans"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w./@-]+", key) else quote(key)


def _matching(names: Iterable[str], begun: str) -> list[str]:
    """Those that begin so, then those that hold it, in their order."""
    sought = begun.casefold()
    holding = [name for name in names if sought in name.casefold()]
    return sorted(holding, key=lambda name: not name.casefold().startswith(sought))
