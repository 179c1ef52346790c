"""Prompts as spans name them: each version's cost, speed and scores, and the text that it sent.

- `list_prompts(project_id, range, *, cursor=None, limit=50) -> Page[PromptRow]`, by name
- `versions(project_id, name, range) -> list[VersionRow]`, the newest first
- `text_of_version(project_id, name, version, range, *, last_seen_ns=None) -> VersionText | None`

Numbers are of the spans that name the prompt, in whole hours (docs/adr/0035); scores are those on these spans, and on
their traces as a whole.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from heliograph.clickhouse import client
from heliograph.query import contents
from heliograph.query.asking import asking
from heliograph.query.filters import InvalidFilterError, TimeRange
from heliograph.query.hours import whole_hours
from heliograph.query.messages import parse_messages
from heliograph.query.paging import Page, check_limit, decode_cursor, encode_cursor

# A prompt has as many versions as somebody wrote; a robot that counts them up is cut here, the newest stay.
MAX_VERSIONS = 100
MAX_NAME_CHARACTERS = 1_000
# Calls of one prompt whose verdicts are averaged, the latest: 16 bytes each in the store's memory.
MAX_JUDGED_SPANS = 1_000_000
# Where senders put the template, without what was filled in.
TEMPLATE_KEYS = (
    "llm.prompt_template.template",
    "gen_ai.prompt.template",
    "traceloop.prompt.template",
    "langfuse.observation.prompt.template",
)
# A score stands at the time of what it judges; a trace as a whole may have begun long before the call of a prompt.
_NEAR = timedelta(days=1)
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRow:
    """One prompt in a range."""

    name: str
    versions: int
    latest_version: str
    calls: int
    errors: int
    cost: Decimal
    unpriced_count: int
    last_seen_ns: int

    @property
    def known_cost(self) -> Decimal | None:
        """The cost in USD, or None where usage was seen and none of it could be priced."""
        return None if self.unpriced_count and not self.cost else self.cost


@dataclass(frozen=True, slots=True)
class VersionScore:
    """The mean of the scores of one name on a version's calls; 95 % interval of the mean, None under two."""

    name: str
    scored: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One version of a prompt in a range; latencies in ns, cost in USD."""

    version: str
    calls: int
    errors: int
    latency_p50_ns: float | None
    latency_p95_ns: float | None
    ttft_p50_ns: float | None
    input_tokens: int
    output_tokens: int
    cost: Decimal
    unpriced_count: int
    models: tuple[str, ...]
    first_seen_ns: int
    last_seen_ns: int
    scores: tuple[VersionScore, ...] = ()

    @property
    def known_cost(self) -> Decimal | None:
        """The cost in USD, or None where usage was seen and none of it could be priced."""
        return None if self.unpriced_count and not self.cost else self.cost

    @property
    def cost_per_call(self) -> Decimal | None:
        """USD a call; None where a part of the cost is not known."""
        return None if self.unpriced_count or not self.calls else self.cost / self.calls


@dataclass(frozen=True, slots=True)
class VersionText:
    """What a version says: the template (`is_template`) where a sender names it, else a call's instructions."""

    text: str
    is_template: bool
    trace_id: str
    span_id: str


_WHERE = """
    p.project_id = %(project_id)s
    AND p.hour >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')
    AND p.hour < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')"""

PROMPTS = f"""
SELECT
    prompt_name AS name,
    uniqExact(prompt_version) AS versions,
    argMax(prompt_version, p.last_seen) AS latest_version,
    sum(p.calls) AS calls,
    sum(p.errors) AS errors,
    sum(p.cost) AS cost,
    sum(p.unpriced_count) AS unpriced_count,
    toUnixTimestamp64Nano(max(p.last_seen)) AS last_seen_ns
FROM prompt_versions_1h AS p
WHERE {_WHERE} AND prompt_name > %(after)s
GROUP BY prompt_name
ORDER BY name
LIMIT %(limit)s
"""  # noqa: S608  (constants)

VERSIONS = f"""
SELECT
    prompt_version AS version,
    sum(p.calls) AS calls,
    sum(p.errors) AS errors,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(p.duration) AS latency,
    quantilesTDigestMerge(0.5, 0.95, 0.99)(p.ttft) AS ttft,
    sum(p.input_tokens) AS input_tokens,
    sum(p.output_tokens) AS output_tokens,
    sum(p.cost) AS cost,
    sum(p.unpriced_count) AS unpriced_count,
    arraySort(groupUniqArrayArray(p.models)) AS models,
    toUnixTimestamp64Nano(min(p.first_seen)) AS first_seen_ns,
    toUnixTimestamp64Nano(max(p.last_seen)) AS last_seen_ns
FROM prompt_versions_1h AS p
WHERE {_WHERE} AND prompt_name = %(name)s
GROUP BY prompt_version
ORDER BY first_seen_ns DESC, version DESC
LIMIT %(limit)s
"""  # noqa: S608  (constants)

_SPANS = """
    project_id = %(project_id)s
    AND start_time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')
    AND start_time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
    AND prompt_name = %(name)s"""

# Of the newest hours, back to the one in which so many calls are reached. The calls and their traces by hashes, as
# schema 0067 keeps them, in the same words. All that was said near the range is read once; which of that is of these
# calls, or of their traces as a whole, the join tells.
SCORES = f"""
WITH (
    SELECT min(hour)
    FROM (
        SELECT p.hour AS hour,
            sum(sum(p.calls)) OVER (ORDER BY p.hour DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later
        FROM prompt_versions_1h AS p
        WHERE {_WHERE} AND prompt_name = %(name)s
        GROUP BY p.hour
    )
    WHERE later < %(most)s
) AS first_hour
SELECT n.version AS version, s.name AS name, count() AS scored, avg(s.value) AS mean, stddevSamp(s.value) AS deviation
FROM (
    SELECT DISTINCT version, arrayJoin(arrayConcat(calls, traces)) AS judged
    FROM (
        SELECT prompt_version AS version,
            groupArrayIf(cityHash64(trace_id, span_id), prompt_name != '') AS calls,
            groupUniqArrayIf(cityHash64(trace_id), prompt_name != '') AS traces
        FROM spans
        WHERE project_id = %(project_id)s AND prompt_name = %(name)s
            AND toStartOfHour(start_time) >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')
            AND toStartOfHour(start_time) >= first_hour
            AND toStartOfHour(start_time) < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
        GROUP BY prompt_name, version
    )
) AS n
INNER JOIN (
    SELECT if(span_id = '', cityHash64(trace_id), cityHash64(trace_id, span_id)) AS judged, name,
        assumeNotNull(value) AS value
    FROM scores FINAL
    WHERE project_id = %(project_id)s AND value IS NOT NULL AND trace_id != ''
        AND time >= fromUnixTimestamp64Nano(%(near_start_ns)s, 'UTC')
        AND time < fromUnixTimestamp64Nano(%(near_end_ns)s, 'UTC')
) AS s ON s.judged = n.judged
GROUP BY version, name
ORDER BY version, name
LIMIT 2000
SETTINGS do_not_merge_across_partitions_select_final = 1
"""  # noqa: S608  (constants)

NEWEST_CALL = f"""
SELECT trace_id, span_id, input, contents, arrayMap(key -> attributes[key], %(keys)s) AS templates
FROM spans
WHERE {_SPANS} AND prompt_version = %(version)s
ORDER BY toStartOfMinute(start_time) DESC, start_time DESC
LIMIT 1
"""  # noqa: S608  (constants)


def list_prompts(project_id: int, span: TimeRange, *, cursor: str | None = None, limit: int = 50) -> Page[PromptRow]:
    """Return the prompts that spans of a range name. Raises InvalidFilterError for a foreign cursor or limit."""
    check_limit(limit)
    after = "" if cursor is None else str(decode_cursor(cursor, str)[0])
    rows = client.query(project_id, PROMPTS, _given(span, after=after, limit=limit + 1), tag="prompts.list")
    items = tuple(PromptRow(**row) for row in rows[:limit])
    return Page(items, encode_cursor(items[-1].name) if len(rows) > limit else None)


def versions(project_id: int, name: str, span: TimeRange) -> list[VersionRow]:
    """Return the versions of a prompt with their scores, newest first. Raises InvalidFilterError for a long name."""
    _check_name(name)
    judged: dict[str, list[VersionScore]] = {}
    near = whole_hours(span).widened(_NEAR)
    given = _given(span, name=name, most=MAX_JUDGED_SPANS, near_start_ns=near.start_ns, near_end_ns=near.end_ns)
    with asking() as ask:
        judging = ask(client.query, project_id, SCORES, given, tag="prompts.scores")
        rows = client.query(project_id, VERSIONS, _given(span, name=name, limit=MAX_VERSIONS), tag="prompts.versions")
    for row in judging.result():
        judged.setdefault(row["version"], []).append(_score(row))
    found = []
    for row in rows:
        latency, ttft = row.pop("latency"), row.pop("ttft")
        row |= {
            "latency_p50_ns": _number(latency, 0),
            "latency_p95_ns": _number(latency, 1),
            "ttft_p50_ns": _number(ttft, 0),
            "models": tuple(row["models"]),
            "scores": tuple(judged.get(row["version"], ())),
        }
        found.append(VersionRow(**row))
    return found


def text_of_version(
    project_id: int, name: str, version: str, span: TimeRange, *, last_seen_ns: int | None = None
) -> VersionText | None:
    """Return what a version says by its newest call in the range, or None where that carries no text.

    With `last_seen_ns`, as `versions` tells it, that call is read without a search.
    """
    _check_name(name)
    given = _given(span, name=name, version=version, keys=list(TEMPLATE_KEYS))
    rows: list[dict[str, Any]] = []
    if last_seen_ns is not None:
        at = {"start_ns": last_seen_ns, "end_ns": last_seen_ns + 1}
        rows = client.query(project_id, NEWEST_CALL, given | at, tag="prompts.text")
    # Tail sampling may have removed that call since.
    rows = rows or client.query(project_id, NEWEST_CALL, given, tag="prompts.text")
    if not rows:
        return None
    contents.restore(project_id, rows, ("input", "templates"))
    (row,) = rows
    template = next((text for text in row["templates"] if text), "")
    text = template or _instructions(row["input"])
    return VersionText(text, bool(template), row["trace_id"], row["span_id"]) if text else None


def _instructions(stored: str) -> str:
    """Return the system's messages of an input, else all that was sent."""
    messages = parse_messages(stored)
    system = [message.text for message in messages if message.role in ("system", "developer") and message.text]
    return "\n\n".join(system or [message.text for message in messages if message.text])


def _check_name(name: str) -> None:
    if not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise InvalidFilterError("name", f"must have 1 to {MAX_NAME_CHARACTERS} characters")


def _given(span: TimeRange, **further: Any) -> dict[str, Any]:
    hours = whole_hours(span)
    return {"start_ns": hours.start_ns, "end_ns": hours.end_ns} | further


def _number(quantiles: Sequence[float], at: int) -> float | None:
    return None if not quantiles or math.isnan(quantiles[at]) else quantiles[at]


def _score(row: dict[str, Any]) -> VersionScore:
    half = _Z * row["deviation"] / math.sqrt(row["scored"]) if row["scored"] > 1 else None
    low, high = (None, None) if half is None else (row["mean"] - half, row["mean"] + half)
    return VersionScore(row["name"], row["scored"], row["mean"], low, high)
