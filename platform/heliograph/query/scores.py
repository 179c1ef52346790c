"""Scores: verdicts of evaluators and people on spans, traces, sessions and data set rows.

- `names(project_id, range) -> list[ScoreName]`
- `labels(project_id, range, *, limit=20) -> list[LabelCount]`: of scores that are a label and no number
- `of_trace(project_id, trace) -> list[Score]`: all of a trace and its spans; `of_span(scores, span_id)` picks
- `of_traces(project_id, traces, range) -> dict[str, list[Score]]`: for the rows of a list
- `list_scores(project_id, filter, *, cursor=None, limit=50) -> Page[Score]`, newest first
- `series(project_id, filter, *, bound=None, buckets=60) -> list[ScorePoint]`
- `by_group(project_id, filter, by, *, bound=None) -> list[ScoreGroup]`
- `summary(project_id, filter, *, bound=None, buckets=60) -> ScoreSummary`: of all, over time, by release and model
- `distribution(project_id, filter, *, bins=20) -> list[Bin]`
- `worst(project_id, filter, *, limit=20, lowest=True) -> list[JudgedSpan]`: with the texts that were judged
- `write_scores(project_id, rows, retention_days, *, as_of=None) -> None`: idempotent

A verdict is one row by (name, what is judged, score_id): writing it again replaces it. It is a `number`, a `label`
alone (a category), or `unscored`: no verdict was possible, and label and explanation say why.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from heliograph.clickhouse import client
from heliograph.query import scores_sql as statements
from heliograph.query.filters import EPOCH, Clause, InvalidFilterError, TimeRange, all_of, from_ns, put
from heliograph.query.held_rows import HELD_DAYS, held_traces_and_sessions
from heliograph.query.overview import step_for
from heliograph.query.paging import Page, check_limit, decode_cursor, encode_cursor
from heliograph.query.traces import summaries

GroupField = Literal["service", "release", "model", "evaluator_revision", "label"]
# The two-sided 95 % quantile of the normal distribution.
_Z = 1.959963984540054
# What an evaluator's batch or an API request may hold.
MAX_WRITE = 10_000
_MAX_TRACE_SCORES = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One verdict. `time_ns` is the time of what is judged; `details` and `evaluator_arguments` are JSON or ''."""

    score_id: str
    trace_id: str = ""
    span_id: str = ""
    session_id: str = ""
    dataset_item_id: str = ""
    time_ns: int
    name: str
    value: float | None
    label: str = ""
    explanation: str = ""
    details: str = ""
    source: str
    # Worked out when it is written where it is ""; an evaluator of our own that gives categories says "label".
    kind: Literal["number", "label", "unscored", ""] = ""
    evaluator: str = ""
    evaluator_revision: str = ""
    evaluator_arguments: str = ""
    author: str = ""
    service: str = ""
    release: str = ""
    model: str = ""

    @property
    def time(self) -> datetime:
        """Time of what is judged, UTC."""
        return from_ns(self.time_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFilter:
    """Which scores a question is about."""

    range: TimeRange
    name: str = ""
    trace_id: str = ""
    service: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    below: float | None = None
    above: float | None = None
    # Leave out verdicts on rows of data sets: an experiment's answers are nobody's traffic.
    live_only: bool = False

    def where(self) -> Clause:
        """Return the condition on `scores` but for the project."""
        clauses: list[Clause] = [
            (
                "time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')"
                " AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')",
                {"start_ns": self.range.start_ns, "end_ns": self.range.end_ns},
            )
        ]
        clauses += [
            (f"{column} = %({column})s", {column: getattr(self, column)})
            for column in ("name", "trace_id")
            if getattr(self, column)
        ]
        clauses += [
            (f"{column} IN %({column})s", {column: getattr(self, column)})
            for column in ("service", "release", "model", "source", "label")
            if getattr(self, column)
        ]
        if self.live_only:
            clauses.append(("dataset_item_id = ''", {}))
        if self.below is not None:
            clauses.append(("value < %(below)s", {"below": self.below}))
        if self.above is not None:
            clauses.append(("value > %(above)s", {"above": self.above}))
        return all_of(*clauses)


@dataclass(frozen=True, slots=True)
class ScoreName:
    """A kind of score in use: how many are numbers, labels alone, or without a verdict."""

    name: str
    scored: int
    labelled: int
    unscored: int


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How often a label was given as a score of a name."""

    name: str
    label: str
    scores: int


@dataclass(frozen=True, slots=True)
class ScoreStats:
    """Statistics of the values in one group.

    `mean_low`..`mean_high` is the normal 95 % interval of the mean (None under two values); `share_below` counts the
    values under the bound that was asked about, with Wilson's 95 % interval (E. B. Wilson, JASA 22, 1927).
    """

    scored: int
    labelled: int
    unscored: int
    mean: float | None
    mean_low: float | None
    mean_high: float | None
    share_below: float | None
    share_low: float | None
    share_high: float | None


@dataclass(frozen=True, slots=True)
class ScorePoint:
    """One bucket of time; `start_s` in epoch seconds."""

    start_s: int
    step_s: int
    stats: ScoreStats


@dataclass(frozen=True, slots=True)
class ScoreGroup:
    """The statistics of one service, release, model, ..."""

    value: str
    stats: ScoreStats


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """The statistics of one score: of all, over time, by release and by model."""

    total: ScoreStats
    series: list[ScorePoint]
    releases: list[ScoreGroup]
    models: list[ScoreGroup]


@dataclass(frozen=True, slots=True)
class Bin:
    """How many values lie from `low` (included) to `high` (excluded, but for the last bin)."""

    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class JudgedSpan:
    """A score and the beginnings of the texts that it judges: '' where the span is not stored."""

    score: Score
    span_name: str
    input_preview: str
    output_preview: str


_COLUMNS = ", ".join(
    "toUnixTimestamp64Nano(time) AS time_ns" if field.name == "time_ns" else field.name for field in fields(Score)
)


def names(project_id: int, span: TimeRange) -> list[ScoreName]:
    """Return the names of the scores in the range, with how many have a value and how many could not be judged."""
    where, parameters = ScoreFilter(range=span).where()
    rows = client.query(
        project_id,
        put(statements.SCORE_NAMES, where=where, settings=statements.SETTINGS),
        parameters,
        tag="scores.names",
    )
    return [ScoreName(**row) for row in rows]


def labels(project_id: int, span: TimeRange, *, limit: int = 20) -> list[LabelCount]:
    """Return the labels that were given as scores, most frequent first."""
    check_limit(limit)
    where, parameters = ScoreFilter(range=span).where()
    sql = put(statements.SCORE_LABELS, where=where, settings=statements.SETTINGS)
    rows = client.query(project_id, sql, parameters | {"limit": limit}, tag="scores.labels")
    return [LabelCount(**row) for row in rows]


def of_trace(project_id: int, trace_id: str) -> list[Score]:
    """Return the scores of a trace and of its spans, by name; at most 5,000."""
    sql = put(statements.SCORES_OF_TRACE, columns=_COLUMNS, settings=statements.SETTINGS)
    parameters = {"trace_id": trace_id, "limit": _MAX_TRACE_SCORES}
    return [Score(**row) for row in client.query(project_id, sql, parameters, tag="scores.trace")]


def of_traces(project_id: int, trace_ids: Sequence[str], span: TimeRange) -> dict[str, list[Score]]:
    """Return the scores of several traces by trace id, of those whose judged span lies in the range."""
    if not trace_ids:
        return {}
    where, parameters = ScoreFilter(range=span).where()
    sql = put(statements.SCORES_OF_TRACES, columns=_COLUMNS, where=where, settings=statements.SETTINGS)
    parameters |= {"trace_ids": tuple(trace_ids), "limit": _MAX_TRACE_SCORES}
    found: dict[str, list[Score]] = {}
    for row in client.query(project_id, sql, parameters, tag="scores.traces"):
        found.setdefault(row["trace_id"], []).append(Score(**row))
    return found


def of_span(scores: Iterable[Score], span_id: str) -> list[Score]:
    """Pick the scores of one span."""
    return [score for score in scores if score.span_id == span_id]


def list_scores(project_id: int, chosen: ScoreFilter, *, cursor: str | None = None, limit: int = 50) -> Page[Score]:
    """Return scores, newest first."""
    check_limit(limit)
    where, parameters = chosen.where()
    if cursor is not None:
        at_ns, name, score_id, trace_id, span_id = decode_cursor(cursor, int, str, str, str, str)
        where += _BEFORE
        at = {"at_ns": at_ns, "at_name": name, "at_id": score_id, "at_trace": trace_id, "at_span": span_id}
        parameters |= at
    sql = put(statements.SCORES, columns=_COLUMNS, where=where, settings=statements.SETTINGS)
    rows = client.query(project_id, sql, parameters | {"limit": limit + 1}, tag="scores.list")
    items = tuple(Score(**row) for row in rows[:limit])
    last = items[-1] if len(rows) > limit else None
    following = (last.time_ns, last.name, last.score_id, last.trace_id, last.span_id) if last else None
    return Page(items, encode_cursor(*following) if following else None)


_BEFORE = (
    " AND time <= fromUnixTimestamp64Nano(%(at_ns)s, 'UTC')"
    " AND (time, name, score_id, trace_id, span_id)"
    " < (fromUnixTimestamp64Nano(%(at_ns)s, 'UTC'), %(at_name)s, %(at_id)s, %(at_trace)s, %(at_span)s)"
)


def series(project_id: int, chosen: ScoreFilter, *, bound: float | None = None, buckets: int = 60) -> list[ScorePoint]:
    """Return the statistics of `chosen.name` over time, a point for every bucket that has a score."""
    step = step_for(chosen.range, buckets)
    group = f"intDiv(toUnixTimestamp(s.time), {step}) * {step}"
    rows = _stats(project_id, chosen, group, bound)
    return [ScorePoint(int(key), step, stats) for key, stats in rows]


def by_group(project_id: int, chosen: ScoreFilter, by: GroupField, *, bound: float | None = None) -> list[ScoreGroup]:
    """Return the statistics of `chosen.name` by service, release, model, evaluator revision or label."""
    if by not in get_args(GroupField):
        raise InvalidFilterError("by", f"must be one of {', '.join(get_args(GroupField))}")
    return [ScoreGroup(str(key), stats) for key, stats in _stats(project_id, chosen, f"s.{by}", bound)]


def summary(project_id: int, chosen: ScoreFilter, *, bound: float | None = None, buckets: int = 60) -> ScoreSummary:
    """Return the statistics of the whole range and, in the same question, `series`, and `by_group` twice."""
    step = step_for(chosen.range, buckets)
    where, parameters = chosen.where()
    sql = put(statements.SCORE_SUMMARY, where=where, settings=statements.SETTINGS)
    rows = client.query(project_id, sql, parameters | {"bound": bound, "step": step}, tag="scores.summary")
    found = [(row, _statistics(row, bound)) for row in rows]
    of_all = [stats for row, stats in found if not (row["is_bucket"] or row["is_release"] or row["is_model"])]
    return ScoreSummary(
        total=of_all[0] if of_all else _statistics(_NO_SCORES, bound),
        series=[ScorePoint(int(row["bucket"]), step, stats) for row, stats in found if row["is_bucket"]],
        releases=[ScoreGroup(row["release"], stats) for row, stats in found if row["is_release"]],
        models=[ScoreGroup(row["model"], stats) for row, stats in found if row["is_model"]],
    )


def distribution(project_id: int, chosen: ScoreFilter, *, bins: int = 20) -> list[Bin]:
    """Return a histogram of the values over equal bins; empty without values.

    Where all lie from 0 to 1 the bins do too, else they go from the lowest value to the highest.
    """
    if not 1 <= bins <= 200:
        raise InvalidFilterError("bins", "must be from 1 to 200")
    where, parameters = chosen.where()
    sql = put(statements.SCORE_EXTREMES, where=where, settings=statements.SETTINGS)
    extremes = client.query(project_id, sql, parameters, tag="scores.extremes")[0]
    low, high = extremes["low"], extremes["high"]
    if low is None:
        return []
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    width = (high - low) / bins or 1.0
    sql = put(statements.SCORE_BINS, where=where, settings=statements.SETTINGS)
    rows = client.query(project_id, sql, parameters | {"low": low, "width": width, "bins": bins}, tag="scores.bins")
    counts = {row["bin"]: row["values"] for row in rows}
    shown = bins if high > low else 1
    return [Bin(low + number * width, low + (number + 1) * width, counts.get(number, 0)) for number in range(shown)]


def worst(project_id: int, chosen: ScoreFilter, *, limit: int = 20, lowest: bool = True) -> list[JudgedSpan]:
    """Return the scores with the lowest (or highest) values, with the texts that they judge."""
    check_limit(limit)
    where, parameters = chosen.where()
    direction = "ASC" if lowest else "DESC"
    sql = put(statements.WORST_SCORES, columns=_COLUMNS, where=where, direction=direction, settings=statements.SETTINGS)
    rows = client.query(project_id, sql, parameters | {"limit": limit}, tag="scores.worst")
    scores = [Score(**row) for row in rows]
    texts = _texts(project_id, scores)
    return [JudgedSpan(score, *texts.get((score.trace_id, score.span_id), ("", "", ""))) for score in scores]


def judged(project_id: int, name: str, spans: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those of some spans, by trace and span id, that an evaluator gave a score `name`."""
    found: set[tuple[str, str]] = set()
    for begin in range(0, len(spans), _MAX_LOOKUP):
        part = spans[begin : begin + _MAX_LOOKUP]
        parameters = {"name": name, "trace_ids": tuple({trace for trace, _ in part})}
        rows = client.query(project_id, statements.JUDGED, parameters, tag="scores.judged")
        found |= {(row["trace_id"], row["span_id"]) for row in rows}
    return found & set(spans)


def write_scores(project_id: int, rows: Sequence[Score], retention_days: int, *, as_of: datetime | None = None) -> None:
    """Store verdicts; one that is stored already (same name, target and score_id) is replaced.

    Time, service, release and model are taken from the judged span or trace where it is stored, so that a verdict
    stands where its answer stands, and from the row otherwise; under legal hold it is held like its answer. Of several
    writings of a verdict the latest holds; with `as_of`, the one of the latest `as_of`, in whatever order they come.
    Raises InvalidFilterError for more than MAX_WRITE rows or a value that is not finite, and the store's Retryable or
    Permanent.
    """
    if len(rows) > MAX_WRITE:
        raise InvalidFilterError("scores", f"may be at most {MAX_WRITE} at once")
    if any(row.value is not None and not math.isfinite(row.value) for row in rows):
        raise InvalidFilterError("value", "must be finite, or null where no verdict is possible")
    if not rows:
        return
    kept: list[Score] = []
    for begin in range(0, len(rows), _MAX_LOOKUP):
        part = rows[begin : begin + _MAX_LOOKUP]
        places, times = _places(project_id, part), _existing_times(project_id, part)
        kept += [_placed(row, places, times) for row in part]
    columns: dict[str, list[Any]] = {
        field.name: [getattr(row, field.name) for row in kept] for field in fields(Score) if field.name != "time_ns"
    }
    columns["time"] = [row.time_ns for row in kept]
    columns["project_id"] = [project_id] * len(kept)
    columns["retention_days"] = _days(project_id, kept, retention_days)
    if as_of is not None:
        columns["updated_at"] = [as_of] * len(kept)
    now = datetime.now(UTC)
    columns["stored_at"] = [EPOCH if row.source == "evaluator" else now for row in kept]
    client.insert("scores", columns)


def _days(project_id: int, rows: Sequence[Score], retention_days: int) -> list[int]:
    """Return how long each row is kept: what is said of something under legal hold is held with it.

    A verdict has the time of its span: on one whose days are over it would be gone at once, and the one that it
    replaces with it.
    """
    traces: set[str] = set()
    sessions: set[str] = set()
    for begin in range(0, len(rows), _MAX_LOOKUP):
        part = rows[begin : begin + _MAX_LOOKUP]
        found = held_traces_and_sessions(
            project_id, (row.trace_id for row in part), (row.session_id for row in part if not row.trace_id)
        )
        traces |= found[0]
        sessions |= found[1]
    is_held = (row.trace_id in traces if row.trace_id else row.session_id in sessions for row in rows)
    return [retention_days + HELD_DAYS if held else retention_days for held in is_held]


# What is copied from the judged span or trace.
_COPIED = ("time_ns", "service", "release", "model")
# Names and ids of so many rows fit into one query's text, which the store caps at 256 KiB.
_MAX_LOOKUP = 250
_Places = dict[tuple[str, str], dict[str, Any]]
_Times = dict[tuple[str, str, str, str], int]


def _places(project_id: int, rows: Sequence[Score]) -> _Places:
    """Return what is to be copied, by trace and span; a trace as a whole has the span ''."""
    found: _Places = {}
    judged = [row for row in rows if row.span_id]
    if judged:
        parameters = {
            "trace_ids": tuple({row.trace_id for row in judged}),
            "span_ids": tuple({row.span_id for row in judged}),
        }
        spans = client.query(project_id, statements.JUDGED_SPANS, parameters, tag="scores.judged_spans")
        found |= {(row["trace_id"], row["span_id"]): row for row in spans}
    whole = {row.trace_id for row in rows if row.trace_id and not row.span_id}
    for trace_id, trace in summaries(project_id, whole).items():
        model = trace.models[0] if len(trace.models) == 1 else ""
        values = (trace.start_ns, trace.service, trace.release, model)
        found[trace_id, ""] = dict(zip(_COPIED, values, strict=True))
    return found


def _existing_times(project_id: int, rows: Sequence[Score]) -> _Times:
    # An evaluator judges what is stored, so its verdict's time is the span's from the first.
    sent = [row for row in rows if row.source != "evaluator"]
    if not sent:
        return {}
    parameters = {
        "names": tuple({row.name for row in sent}),
        "trace_ids": tuple({row.trace_id for row in sent}),
        "score_ids": tuple({row.score_id for row in sent}),
    }
    found = client.query(project_id, statements.EXISTING_TIMES, parameters, tag="scores.existing")
    return {(row["name"], row["trace_id"], row["span_id"], row["score_id"]): row["time_ns"] for row in found}


def kind_of(row: Score) -> Literal["number", "label", "unscored"]:
    """Return what a score says. A label without a number is a category, but of an evaluator of ours, which says so."""
    if row.value is not None:
        return "number"
    if row.kind:
        return "label" if row.kind == "label" and row.label else "unscored"
    return "label" if row.label and row.source != "evaluator" else "unscored"


def _placed(row: Score, places: _Places, times: _Times) -> Score:
    place = places.get((row.trace_id, row.span_id))
    if place:
        row = replace(row, **{name: place[name] for name in _COPIED})
    row = replace(row, kind=kind_of(row))
    time_ns = times.get((row.name, row.trace_id, row.span_id, row.score_id))
    return row if time_ns is None else replace(row, time_ns=time_ns)


def _texts(project_id: int, scores: Sequence[Score]) -> dict[tuple[str, str], tuple[str, str, str]]:
    judged = [score for score in scores if score.span_id]
    if not judged:
        return {}
    parameters = {
        "minutes": tuple({score.time_ns // (60 * 10**9) * 60 for score in judged}),
        "trace_ids": tuple({score.trace_id for score in judged}),
        "span_ids": tuple({score.span_id for score in judged}),
        "limit": len(judged) * 10,
    }
    rows = client.query(project_id, statements.JUDGED_TEXTS, parameters, tag="scores.texts")
    return {
        (row["trace_id"], row["span_id"]): (row["name"], row["input_preview"], row["output_preview"]) for row in rows
    }


_NO_SCORES: dict[str, Any] = dict.fromkeys(("scored", "labelled", "unscored", "below"), 0)
_NO_SCORES |= {"mean": None, "deviation": None}


def _stats(project_id: int, chosen: ScoreFilter, group: str, bound: float | None) -> list[tuple[Any, ScoreStats]]:
    where, parameters = chosen.where()
    sql = put(statements.SCORE_STATS, group=group, where=where, settings=statements.SETTINGS)
    rows = client.query(project_id, sql, parameters | {"bound": bound}, tag="scores.stats")
    return [(row["group_key"], _statistics(row, bound)) for row in rows]


def _statistics(row: dict[str, Any], bound: float | None) -> ScoreStats:
    scored = row["scored"]
    mean = float(row["mean"]) if scored else None
    half = _Z * row["deviation"] / math.sqrt(scored) if scored > 1 else None
    low, high = wilson_interval(row["below"], scored) if bound is not None and scored else (None, None)
    return ScoreStats(
        scored=scored,
        labelled=row["labelled"],
        unscored=row["unscored"],
        mean=mean,
        mean_low=mean - half if mean is not None and half is not None else None,
        mean_high=mean + half if mean is not None and half is not None else None,
        share_below=row["below"] / scored if bound is not None and scored else None,
        share_low=low,
        share_high=high,
    )


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a share. `trials` is above 0."""
    share, square = hits / trials, _Z * _Z / trials
    centre = (share + square / 2) / (1 + square)
    half = _Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)
