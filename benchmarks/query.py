"""How long the pages' questions take, beside the same questions asked of the raw spans.

Starts an embedded store of its own in a temporary folder, fills it inside the engine (about 8 spans a trace, 24 hours,
4 services, 6 models, texts of about 1 kB on model calls), and prints for each question the median and the slowest of
some runs: `ours` is the function that a page calls, from call to rows, `raw` the plain SQL over `spans` that answers
the same without rollups, summaries or storage order. `cpu` is what the store and this process spent on one call, which
other work on the machine disturbs less than the clock.

    python benchmarks/query.py [--spans 1000000] [--runs 7] [--only sessions prompts] [--keep FOLDER]

With `--keep` the store stays in that folder, and a later run with it asks that store instead of filling one.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from django.conf import settings

from heliograph.clickhouse import client, migrate
from heliograph.query import (
    boards,
    completion,
    conversations,
    evaluation,
    facets,
    language,
    live,
    models,
    overview,
    prompts,
    reliability,
    scores,
    spans,
    subjects,
    traces,
)
from heliograph.query.filters import RollupFilter, ScoreBound, SpanFilter, TimeRange

SPANS_A_TRACE = 8
# About what a writer's group commit brings; parts are then merged as in production.
ROWS_AN_INSERT = 50_000
START_SECONDS = 60
PROJECT = 1

FILL = """
INSERT INTO spans (project_id, trace_id, span_id, parent_span_id, is_entry, start_time, duration_ns, received_at,
    service, environment, release, host, name, kind, span_kind, status, operation, provider, model_requested,
    model, model_family, input_tokens, output_tokens, usage_counted, cost, ttft_ns, session_id, user_id,
    prompt_name, prompt_version, tags, gpu_uuids, input, output, documents, input_preview, output_preview,
    attributes, resource, retention_days)
WITH
    ['the', 'model', 'answers', 'a', 'question', 'about', 'solar', 'observation', 'with', 'facts', 'from', 'context',
     'and', 'says', 'so', 'where', 'it', 'does', 'not', 'know', 'mirror', 'lens', 'flare', 'orbit', 'latency', 'tokens',
     'price', 'order', 'customer', 'invoice', 'weather', 'report'] AS words,
    intDiv(number, 8) AS trace,
    number %% 8 AS place,
    sipHash64(trace) AS trace_hash,
    sipHash64(number) AS hash,
    ['agent', 'chain', 'retriever', 'embedding', 'llm', 'tool', 'llm', 'guardrail'][place + 1] AS kind_here,
    kind_here = 'llm' AS is_llm,
    ['gpt-4o', 'gpt-4o-mini', 'claude-sonnet-4-5', 'llama-3.1-70b', 'qwen3-8b', 'mistral-small'][trace_hash %% 6 + 1]
        AS model_here,
    toInt64(%(start_ns)s) + toInt64(trace) * intDiv(86400000000000, %(traces)s) + place * 40000000
        + toInt64(hash %% 30000000) AS at,
    -- Half of the words are rare, as names and numbers in real texts are.
    arrayStringConcat(arrayMap(i -> if(i %% 2 = 0, words[sipHash64(number, i) %% 32 + 1],
        concat('w', toString(sipHash64(number, i, 1) %% 60000))), range(if(is_llm, 160, 20))), ' ') AS prompt,
    arrayStringConcat(arrayMap(i -> words[sipHash64(i, number) %% 32 + 1], range(if(is_llm, 60, 15))), ' ') AS answer
SELECT
    %(project_id)s,
    lower(hex(MD5(toString(trace)))),
    lower(hex(sipHash64('span', number))),
    if(place = 0, '', lower(hex(sipHash64('span', trace * 8 + multiIf(place = 3, 2, place = 5, 4, place = 1, 0, 1))))),
    place = 0,
    fromUnixTimestamp64Nano(at, 'UTC'),
    toUInt64(if(place = 0, 800000000, 50000000) + hash %% 2000000000),
    fromUnixTimestamp64Nano(at + 5000000000, 'UTC'),
    ['checkout', 'support', 'search', 'reports'][trace_hash %% 4 + 1],
    if(trace_hash %% 10 = 0, 'staging', 'production'),
    ['1.4.0', '1.5.0', '1.6.0'][intDiv(trace_hash, 7) %% 3 + 1],
    concat('node-', toString(trace_hash %% 12)),
    ['answer', 'plan', 'search documents', 'embed', 'chat', 'call tool', 'chat', 'check'][place + 1],
    kind_here, 'internal',
    if(hash %% 50 = 0, 'error', 'ok'),
    if(is_llm, 'chat', ''), if(is_llm, 'openai', ''),
    if(is_llm, model_here, ''), if(is_llm, model_here, ''), if(is_llm, splitByChar('-', model_here)[1], ''),
    if(is_llm, toUInt32(200 + hash %% 4000), NULL),
    if(is_llm, toUInt32(20 + hash %% 700), NULL),
    is_llm,
    if(is_llm AND model_here != 'qwen3-8b', toDecimal64((hash %% 100000) / 1e7, 12), NULL),
    if(is_llm, toUInt64(90000000 + hash %% 900000000), NULL),
    concat('session-', toString(intDiv(trace, 5))),
    concat('user-', toString(trace_hash %% 5000)),
    if(is_llm, concat('prompt-', toString(trace_hash %% 20)), ''),
    if(is_llm, toString(intDiv(trace_hash, 20) %% 3 + 1), ''),
    if(trace_hash %% 20 = 0, ['beta'], []),
    [concat('GPU-', toString(trace_hash %% 24))],
    concat('[{"role":"user","parts":[{"type":"text","content":"', prompt,
        if(hash %% 20000 = 7, ' refund', ''), '"}]}]'),
    concat('[{"role":"assistant","parts":[{"type":"text","content":"', answer, '"}]}]'),
    if(kind_here = 'retriever', concat('[{"id":"d1","content":"', prompt, '","score":0.7}]'), ''),
    substring(prompt, 1, 200), substring(answer, 1, 200),
    map('gen_ai.operation.name', if(is_llm, 'chat', 'other'), 'http.route', '/answer', 'order.id', toString(hash)),
    map('service.name', 'bench', 'deployment.environment.name', 'production'),
    90
FROM numbers(%(first)s, %(count)s)
"""

# One in twenty model calls is judged.
FILL_SCORES = """
INSERT INTO scores (project_id, score_id, trace_id, span_id, time, name, value, source, service, release, model,
    retention_days)
SELECT project_id, 'bench', trace_id, span_id, start_time, 'groundedness', (cityHash64(span_id) %% 1000) / 1000,
    'evaluator', service, release, model, 90
FROM spans WHERE project_id = %(project_id)s AND kind = 'llm' AND cityHash64(trace_id) %% 20 = 0
"""

# People labelled one judged answer in ten.
FILL_LABELS = """
INSERT INTO scores (project_id, score_id, trace_id, span_id, time, name, value, source, service, release, model,
    retention_days)
SELECT project_id, 'person', trace_id, span_id, time, name, value > (cityHash64(span_id, 1) %% 1000) / 1000, 'human',
    service, release, model, 90
FROM scores WHERE project_id = %(project_id)s AND source = 'evaluator' AND cityHash64(span_id, 2) %% 10 = 0
"""

# What the same questions cost without our tables: {range} is the time range.
RAW_LIST = """
SELECT trace_id, min(start_time), max(start_time) AS latest, count(), countIf(status = 'error'), sum(cost),
    any(input_preview)
FROM spans WHERE {range} {filter} GROUP BY trace_id ORDER BY latest DESC LIMIT 50 OFFSET {offset}
"""
RAW_TRACE = "SELECT * EXCEPT (input, output) FROM spans WHERE project_id = 1 AND trace_id = '{trace_id}'"
RAW_OVERVIEW = """
SELECT intDiv(toUnixTimestamp(start_time), 900) AS bucket, countIf(parent_span_id = ''),
    countIf(parent_span_id = '' AND status = 'error'),
    quantilesTDigestIf(0.5, 0.95, 0.99)(duration_ns, parent_span_id = ''), quantilesTDigest(0.5, 0.95, 0.99)(ttft_ns),
    sumIf(input_tokens, usage_counted), sumIf(output_tokens, usage_counted), sumIf(cost, usage_counted)
FROM spans WHERE {range} GROUP BY bucket
"""
RAW_FACETS = """
SELECT field, value, count() FROM spans
ARRAY JOIN ['service', 'environment', 'release', 'kind', 'provider', 'model'] AS field,
    [toString(service), toString(environment), toString(release), toString(kind), toString(provider), toString(model)]
        AS value
WHERE {range} GROUP BY field, value
"""


@dataclass(frozen=True)
class Question:
    """Something a page asks; `goal_ms` is what the project wants of it at a million spans on two cores."""

    name: str
    ours: Callable[[], object]
    raw: str
    goal_ms: int | None = None


@contextmanager
def embedded_store(folder: Path) -> Iterator[tuple[str, int]]:
    """Run an embedded store in the folder; yield its URL and process id."""
    (folder / "password").write_text("benchmark\n", encoding="utf-8")
    (folder / "port").unlink(missing_ok=True)
    command = [sys.executable, "-m", "heliograph.clickhouse.embedded", "--path", str(folder / "store"), "--port", "0"]
    command += ["--password-file", str(folder / "password"), "--port-file", str(folder / "port")]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "port").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the store did not start")
            time.sleep(0.05)
        port = (folder / "port").read_text(encoding="ascii")
        yield f"clickhouse://heliograph:benchmark@127.0.0.1:{port}/heliograph", process.pid
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def fill(count: int, start: datetime) -> None:
    """Put the spans and scores into the store."""
    began = time.perf_counter()
    shape = {"start_ns": int(start.timestamp()) * 10**9, "traces": count // SPANS_A_TRACE, "project_id": PROJECT}
    for first in range(0, count, ROWS_AN_INSERT):
        part = {"first": first, "count": min(ROWS_AN_INSERT, count - first)}
        client.execute_unscoped(FILL, shape | part, tag="benchmark.fill")
    client.execute_unscoped(FILL_SCORES, {"project_id": PROJECT}, tag="benchmark.fill")
    client.execute_unscoped(FILL_LABELS, {"project_id": PROJECT}, tag="benchmark.fill")
    sizes = client.execute_unscoped(
        "SELECT table, count() AS parts, sum(rows) AS row_count, formatReadableSize(sum(bytes_on_disk)) AS size"
        " FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table"
    )
    print(f"filled in {time.perf_counter() - began:.0f} s:", end=" ")
    print("; ".join(f"{row['table']} {row['row_count']:,} rows, {row['parts']} parts, {row['size']}" for row in sizes))


@contextmanager
def folder_of(keep: Path | None) -> Iterator[Path]:
    """Yield the folder of the benchmark's store: the one to keep, or one that is removed afterwards."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="heliograph-benchmark-") as folder:
            yield Path(folder)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()


def filled(folder: Path, count: int) -> TimeRange:
    """Fill the store unless a run before has, and return the 24 hours of its spans."""
    note = folder / "filled_until"
    if note.exists():
        end = datetime.fromisoformat(note.read_text(encoding="ascii"))
        stored = client.execute_unscoped("SELECT count() AS n FROM spans", tag="benchmark.count")[0]["n"]
        print(f"{stored:,} spans from a run before")
        return TimeRange(end - timedelta(hours=24), end)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    fill(count, end - timedelta(hours=24))
    note.write_text(end.isoformat(), encoding="ascii")
    return TimeRange(end - timedelta(hours=24), end)


def cursor_of_page_1000(chosen: SpanFilter) -> str | None:
    """Return the cursor after 999 pages of 50 traces, found in larger steps; the last one where there are fewer."""
    cursor, left = None, 999 * 50
    while left > 0:
        page = traces.list_traces(PROJECT, chosen, cursor=cursor, limit=min(1_000, left))
        if page.next_cursor is None:
            return cursor
        cursor, left = page.next_cursor, left - len(page.items)
    return cursor


def pages_of_subjects(span: TimeRange, within: str) -> list[Question]:
    """Return what the pages of sessions, users, prompts, models and evaluations ask."""
    judged = scores.ScoreFilter(range=span, name="groundedness", live_only=True)

    def session_page() -> None:
        row = subjects.get_subject(PROJECT, "session", "session-77", span)
        assert row is not None
        page = subjects.trace_ids(PROJECT, "session", "session-77", span, limit=30)
        conversations.exchanges(PROJECT, page.items)
        scores.of_traces(PROJECT, page.items, span)

    def evaluations_page() -> None:
        scores.names(PROJECT, span)
        scores.distribution(PROJECT, judged)
        scores.summary(PROJECT, judged, bound=0.5)
        scores.worst(PROJECT, judged, limit=10)
        reliability.reliability(PROJECT, judged)
        facets.facets(PROJECT, RollupFilter(range=span), limit=50)

    def raw_subjects(column: str) -> str:
        return (
            f"SELECT {column}, max(start_time) AS latest, uniqExact(trace_id), sumIf(cost, usage_counted),"
            f" quantilesTDigest(0.5, 0.95)(duration_ns) FROM spans WHERE {within} AND {column} != ''"
            f" GROUP BY {column} ORDER BY latest DESC LIMIT 50"
        )

    raw_prompt = (
        "SELECT prompt_version, count(), sum(cost), quantilesTDigest(0.5, 0.95)(duration_ns) FROM spans"
        f" WHERE {within} AND prompt_name = 'prompt-7' GROUP BY prompt_version"
    )
    raw_models = (
        "SELECT model, count(), countIf(status = 'error'), quantilesTDigest(0.5, 0.95)(duration_ns),"
        f" quantilesTDigest(0.5)(ttft_ns), sum(cost) FROM spans WHERE {within} AND kind = 'llm' GROUP BY model"
    )
    raw_session = f"SELECT * FROM spans WHERE {within} AND session_id = 'session-77' ORDER BY start_time"
    raw_scores = (
        "SELECT release, model, count(), avg(value), stddevSamp(value), countIf(value < 0.5) FROM scores FINAL"
        f" WHERE {within.replace('start_time', 'time')} GROUP BY release, model"
    )
    return [
        Question(
            "sessions, first page",
            lambda: subjects.list_subjects(PROJECT, "session", span),
            raw_subjects("session_id"),
            200,
        ),
        Question(
            "sessions, by part of the id",
            lambda: subjects.list_subjects(PROJECT, "session", span, text="session-77"),
            raw_subjects("session_id").replace("!= ''", "LIKE '%session-77%'"),
            200,
        ),
        Question("one session", session_page, raw_session, 200),
        Question(
            "users, first page", lambda: subjects.list_subjects(PROJECT, "user", span), raw_subjects("user_id"), 200
        ),
        Question("prompts", lambda: prompts.list_prompts(PROJECT, span), raw_subjects("prompt_name"), 200),
        Question("versions of a prompt", lambda: prompts.versions(PROJECT, "prompt-7", span), raw_prompt, 200),
        Question("models", lambda: models.by_model(PROJECT, span, score="groundedness"), raw_models, 200),
        Question("evaluations page", evaluations_page, raw_scores, 200),
    ]


def questions(span: TimeRange) -> list[Question]:
    """Return what is measured over a range."""
    everything, rollup = SpanFilter(range=span), RollupFilter(range=span)
    within = f"project_id = {PROJECT} AND start_time >= '{span.start:%Y-%m-%d %H:%M:%S}'"
    within += f" AND start_time < '{span.end:%Y-%m-%d %H:%M:%S}'"
    deep = cursor_of_page_1000(everything)
    middle = traces.list_traces(PROJECT, everything, cursor=deep).items[0].trace_id

    def listed(**fields: object) -> Callable[[], object]:
        chosen = SpanFilter(range=span, **fields)  # type: ignore[arg-type]  # the names are those of the filter
        return lambda: traces.list_traces(PROJECT, chosen)

    def raw_list(condition: str = "", offset: int = 0) -> str:
        return RAW_LIST.format(range=within, filter=condition, offset=offset)

    def overview_page() -> None:
        overview.glance(PROJECT, rollup, ("service", "model", "adapter", "environment", "release"), limit=10)
        overview.series(PROJECT, rollup)

    def trace_page() -> None:
        trace = traces.get_trace(PROJECT, middle)
        assert trace is not None
        spans.get_span(PROJECT, middle, trace.spans[0].span_id)
        scores.of_trace(PROJECT, middle)

    def asked(text: str) -> Callable[[], object]:
        chosen = language.parse(text, span)
        return lambda: traces.list_traces(PROJECT, chosen)

    panels = [
        boards.read_panel({"measure": measure, "by": by})
        for measure, by in (
            ("requests", ["service"]),
            ("latency_p95", ["model"]),
            ("error_rate", ["release"]),
            ("cost", ["model"]),
            ("tpot_p50", []),
            ("input_tokens", ["environment"]),
        )
    ]
    judged = scores.ScoreFilter(range=span, name="groundedness")
    raw_scores = (
        f"SELECT intDiv(toUnixTimestamp(time), 1800) AS b, avg(value) FROM scores FINAL WHERE {within} GROUP BY b"
    )
    refund = "AND (position(lower(input), 'refund') > 0 OR position(lower(output), 'refund') > 0)"
    return [
        Question("list, first page", listed(), raw_list(), 200),
        Question("list, service", listed(service=("checkout",)), raw_list("AND service = 'checkout'"), 200),
        Question("list, errors", listed(status=("error",)), raw_list("AND status = 'error'"), 200),
        Question(
            "list, model and latency",
            listed(model=("gpt-4o",), min_duration_ns=2 * 10**9),
            raw_list("AND model = 'gpt-4o' AND duration_ns >= 2000000000"),
            200,
        ),
        Question("list, one session", listed(session=("session-77",)), raw_list("AND session_id = 'session-77'"), 200),
        Question(
            "list, score below 0.01",
            listed(scores=(ScoreBound("groundedness", below=0.01),)),
            raw_list("AND trace_id IN (SELECT trace_id FROM scores FINAL WHERE value < 0.01)"),
            200,
        ),
        Question(
            "list, page 1,000",
            lambda: traces.list_traces(PROJECT, everything, cursor=deep),
            raw_list(offset=999 * 50),
            200,
        ),
        Question(
            "list, pattern and negation",
            asked("model:gpt-4* -release:1.4.0 output_tokens>600"),
            raw_list("AND model LIKE 'gpt-4%' AND release != '1.4.0' AND output_tokens > 600"),
            200,
        ),
        Question(
            "list, an attribute",
            asked("attributes.top_p>0.5 kind:llm"),
            raw_list("AND toFloat64OrNull(attributes['top_p']) > 0.5 AND kind = 'llm'"),
            200,
        ),
        Question(
            "what arrived since",
            lambda: live.arrived(PROJECT, everything, int(span.end.timestamp() * 1e6) - 60_000_000),
            f"SELECT DISTINCT trace_id FROM spans WHERE {within} ORDER BY received_at DESC LIMIT 50",
            200,
        ),
        Question(
            "completion of a model",
            lambda: completion.suggest(PROJECT, "model:g", 7, span),
            f"SELECT model, count() FROM spans WHERE {within} GROUP BY model",
            200,
        ),
        Question(
            "completion of a session",
            lambda: completion.suggest(PROJECT, "session:s", 9, span),
            f"SELECT session_id, count() AS n FROM spans WHERE {within} GROUP BY session_id ORDER BY n DESC LIMIT 12",
            200,
        ),
        Question(
            "dashboard of six panels",
            lambda: boards.answers(PROJECT, panels, span),
            RAW_OVERVIEW.format(range=within),
            200,
        ),
        Question("text search, 1 in 20,000", listed(text="refund"), raw_list(refund), 200),
        Question(
            "text search, no match", listed(text="nosuchword"), raw_list(refund.replace("refund", "nosuchword")), 300
        ),
        Question(
            "spans, first page",
            lambda: spans.list_spans(PROJECT, everything),
            RAW_LIST.format(range=within, filter="", offset=0),
            200,
        ),
        Question("trace page", trace_page, RAW_TRACE.format(trace_id=middle), 200),
        Question("overview page", overview_page, RAW_OVERVIEW.format(range=within), 200),
        Question("facets", lambda: facets.facets(PROJECT, rollup), RAW_FACETS.format(range=within), 200),
        Question(
            "score over time",
            lambda: scores.series(PROJECT, judged, bound=0.5),
            raw_scores.replace("start_time", "time"),
            200,
        ),
        Question(
            "256 spans to evaluate",
            lambda: evaluation.spans_to_evaluate(PROJECT, evaluation.Watermark(0), span.end),
            f"SELECT * FROM spans WHERE {within} AND kind = 'llm' ORDER BY received_at LIMIT 256",
        ),
        *pages_of_subjects(span, within),
    ]


@dataclass(frozen=True)
class Measured:
    """Times of one call in ms; `cpu` is None where the system does not tell a process's."""

    median: float
    slowest: float
    cpu: float | None


def measure(ask: Callable[[], object], runs: int, store_pid: int) -> Measured:
    """Ask once to warm the caches, then so many times more."""
    ask()
    times, cpu_before = [], cpu_seconds(store_pid)
    for _ in range(runs):
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1_000)
    cpu_after = cpu_seconds(store_pid)
    spent = None if cpu_before is None or cpu_after is None else (cpu_after - cpu_before) * 1_000 / runs
    return Measured(statistics.median(times), max(times), spent)


def cpu_seconds(store_pid: int) -> float | None:
    """Return the processor time that the store and this process have used, where /proc tells."""
    stat = Path(f"/proc/{store_pid}/stat")
    if not stat.exists():
        return None
    # Fields 14 and 15 of proc(5); the second field, the name in brackets, may hold spaces.
    user, system = stat.read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK") + time.process_time()


def report(span: TimeRange, runs: int, store_pid: int, only: Sequence[str] = ()) -> None:
    """Measure and print every question, or those whose names hold one of some words."""
    print(f"{'question':26} {'ours, median':>13} {'slowest':>10} {'cpu':>9} {'raw, median':>12} {'cpu':>9}  goal")
    for question in questions(span):
        if only and not any(word in question.name for word in only):
            continue
        ours = measure(question.ours, runs, store_pid)
        # The condition cache would answer a repeated raw question without asking it.
        sql = f"{question.raw} SETTINGS use_query_condition_cache = 0"
        raw = measure(partial(client.execute_unscoped, sql, tag="benchmark.raw"), min(runs, 3), store_pid)
        goal = question.goal_ms
        verdict = "" if goal is None else f"{goal} ms {'met' if ours.median < goal else 'MISSED'}"
        times = f"{ours.median:10.0f} ms {ours.slowest:7.0f} ms {_ms(ours.cpu)} {raw.median:9.0f} ms {_ms(raw.cpu)}"
        print(f"{question.name:26} {times}  {verdict}", flush=True)


def _ms(value: float | None) -> str:
    return f"{'–':>9}" if value is None else f"{value:6.0f} ms"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="questions whose names hold one of these")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the store stays for the next run")
    arguments = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")
    with folder_of(arguments.keep) as folder:
        os.environ["HELIOGRAPH_DATA_DIR"] = str(folder)
        with embedded_store(folder) as (url, store_pid):
            settings.CLICKHOUSE_URL = url
            for _ in migrate.migrate(accept_rewrites=True):
                pass
            cores, load = os.cpu_count(), os.getloadavg()[0]
            print(f"{arguments.spans:,} spans over 24 h, {cores} cores, load before the start {load:.1f}")
            span = filled(folder, arguments.spans)
            report(span, arguments.runs, store_pid, arguments.only)
            client.close_connections()


if __name__ == "__main__":
    main()
