"""No question about one project is answered with another's rows, whatever ids are named."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType

import pytest

from heliograph.clickhouse import client
from heliograph.query import (
    annotated,
    attribute_keys,
    boards,
    comparison,
    completeness,
    completion,
    drift_samples,
    evaluation,
    facets,
    gpu,
    ledger,
    live,
    metrics,
    online,
    overview,
    reliability,
    scores,
    serving,
    spans,
    trace_facts,
    traces,
)
from heliograph.query.filters import RollupFilter, ScoreBound, TimeRange
from heliograph.query.scores import Score, ScoreFilter
from tests.conftest import new_project_id
from tests.query.rows import HOUR, at, llm, new_trace_id, point, span, spans_in_hour, store_rows, store_spans

pytestmark = pytest.mark.usefixtures("store")

Ask = Callable[[int, str, str], object]
MODULES = (
    annotated,
    attribute_keys,
    boards,
    completeness,
    completion,
    comparison,
    drift_samples,
    evaluation,
    facets,
    gpu,
    ledger,
    live,
    metrics,
    online,
    overview,
    reliability,
    scores,
    serving,
    spans,
    trace_facts,
    traces,
)
QUESTIONS: dict[Callable[..., object], Ask] = {
    attribute_keys.recent_keys: lambda project, *_: attribute_keys.recent_keys(project, HOUR).keys,
    attribute_keys.examples: lambda project, *_: attribute_keys.examples(project, HOUR, ["acme.key"]),
    boards.answers: lambda project, *_: (
        boards.answers(project, [boards.Panel(title="", measure="requests", by=("service",))], HOUR)[0].lines
    ),
    completion.suggest: lambda project, *_: completion.suggest(project, "host:n", 6, HOUR),
    live.arrived: lambda project, *_: live.arrived(project, spans_in_hour(), 1).traces,
    annotated.candidates: lambda project, *_: annotated.candidates(project, spans_in_hour(), score="g"),
    annotated.previews: lambda project, *ids: annotated.previews(project, [(*ids, at(2))]),
    annotated.verdicts: lambda project, *ids: annotated.verdicts(project, "g", [(*ids, at(2))]),
    comparison.side_sums: lambda project, *_: (
        comparison.side_sums(project, spans_in_hour(), ["latency"], [], buckets=8)["latency"].n
    ),
    comparison.worst: lambda project, *_: comparison.worst(project, spans_in_hour(), "latency", higher_is_better=False),
    comparison.side_values: lambda project, *_: comparison.side_values(
        project, spans_in_hour(), "latency", buckets=8, limit=10
    )[0],
    comparison.of_traces: lambda project, trace_id, _: comparison.of_traces(project, [trace_id], "ttft"),
    drift_samples.sample: lambda project, *_: drift_samples.sample(project, spans_in_hour()),
    drift_samples.texts: lambda project, trace_id, span_id: drift_samples.texts(
        project, HOUR, [(trace_id, span_id)], "input"
    ),
    drift_samples.score_values: lambda project, *_: drift_samples.score_values(project, spans_in_hour(), "g"),
    completeness.states: lambda project, trace_id, _: completeness.states(project, [trace_id]),
    completeness.settled: lambda project, *_: (
        completeness.settled(project, completeness.Place(0), datetime.now(UTC) + timedelta(minutes=1)).traces
    ),
    # What another project has removed is not known, and nobody waits for it.
    completeness.ready: lambda project, *_: {_REMOVED} - completeness.ready(project, [_REMOVED]),
    completeness.removed: lambda project, *_: completeness.removed(project, [_REMOVED]),
    trace_facts.facts: lambda project, trace_id, _: trace_facts.facts(project, [trace_id], ["g"]),
    trace_facts.origins: lambda project, trace_id, _: trace_facts.origins(
        project, [trace_facts.Facts(trace_id, "", "", 0, 0.0, 0.0, _SUMMARIES[trace_id].minutes, {})]
    ),
    trace_facts.recent_traces: lambda project, *_: trace_facts.recent_traces(project, HOUR, 10),
    evaluation.spans_to_evaluate: lambda project, *_: evaluation.spans_to_evaluate(
        project, evaluation.Watermark(0), datetime.now(UTC) + timedelta(minutes=1)
    ),
    online.newest: lambda project, *_: online.newest(project, spans_in_hour(), 1.0, 0, evaluation.Watermark(2**62)),
    online.of_traces: lambda project, trace_id, _: online.of_traces(
        project, [trace_id], spans_in_hour(), 1.0, "another"
    ),
    online.by_id: lambda project, trace_id, span_id: online.by_id(project, [(trace_id, span_id)]),
    online.last_arrival: lambda project, *_: online.last_arrival(project, 0, 2**62),
    online.waiting: lambda project, *_: online.waiting(project, spans_in_hour(), 1.0, [(0, 2**62)]).spans,
    online.matching: lambda project, *_: online.matching(project, spans_in_hour(), 1.0).examples,
    evaluation.paired_scores: lambda project, *_: (
        found := evaluation.paired_scores(project, HOUR, "g", "shop", "1", "2"),
        (*found.pairs, *found.baseline, *found.candidate),
    )[1],
    facets.facets: lambda project, *_: [
        value for values in facets.facets(project, RollupFilter(range=HOUR)).values() for value in values
    ],
    gpu.of_trace: lambda project, trace_id, _: gpu.of_trace(project, _SUMMARIES[trace_id]).gpus,
    metrics.names: lambda project, *_: metrics.names(project, HOUR),
    metrics.query_metric: lambda project, *_: metrics.query_metric(project, gpu.UTILIZATION, HOUR),
    ledger.flows: lambda project, *_: ledger.flows(project, _AROUND_NOW),
    ledger.series: lambda project, *_: sum(each.counts.accepted for each in ledger.series(project, _AROUND_NOW)),
    ledger.reasons: lambda project, *_: ledger.reasons(project, _AROUND_NOW),
    ledger.lag_series: lambda project, *_: [
        each for each in ledger.lag_series(project, _AROUND_NOW) if each.p50_s is not None
    ],
    ledger.clocks: lambda project, *_: ledger.clocks(project, _AROUND_NOW),
    ledger.sampling: lambda project, *_: ledger.sampling(project, _AROUND_NOW).kept,
    ledger.uses: lambda project, *_: ledger.uses(project),
    ledger.usage: lambda project, *_: ledger.usage(project, _AROUND_NOW.start, _AROUND_NOW.start),
    overview.summary: lambda project, *_: overview.summary(project, RollupFilter(range=HOUR)).current.requests,
    overview.totals: lambda project, *_: overview.totals(project, RollupFilter(range=HOUR)).requests,
    overview.series: lambda project, *_: sum(
        each.measures.requests for each in overview.series(project, RollupFilter(range=HOUR))
    ),
    overview.glance: lambda project, *_: overview.glance(project, RollupFilter(range=HOUR), ("model",)).groups["model"],
    overview.breakdown: lambda project, *_: overview.breakdown(project, RollupFilter(range=HOUR), "service"),
    scores.labels: lambda project, *_: scores.labels(project, HOUR),
    scores.judged: lambda project, trace_id, span_id: scores.judged(project, "g", [(trace_id, span_id)]),
    scores.names: lambda project, *_: scores.names(project, HOUR),
    scores.of_trace: lambda project, trace_id, _: scores.of_trace(project, trace_id),
    scores.of_traces: lambda project, trace_id, _: scores.of_traces(project, [trace_id], HOUR),
    scores.list_scores: lambda project, *_: scores.list_scores(project, _GROUNDED).items,
    scores.series: lambda project, *_: scores.series(project, _GROUNDED),
    scores.by_group: lambda project, *_: scores.by_group(project, _GROUNDED, "service"),
    scores.summary: lambda project, *_: scores.summary(project, _GROUNDED).series,
    scores.distribution: lambda project, *_: scores.distribution(project, _GROUNDED),
    reliability.reliability: lambda project, *_: reliability.reliability(project, _GROUNDED),
    scores.worst: lambda project, *_: scores.worst(project, _GROUNDED),
    serving.instances: lambda project, *_: serving.instances(project, HOUR),
    serving.canonical: lambda project, *_: serving.canonical(project, HOUR),
    spans.list_spans: lambda project, *_: spans.list_spans(project, spans_in_hour()).items,
    spans.get_span: spans.get_span,
    spans.spans_of_trace: lambda project, trace_id, _: spans.spans_of_trace(
        project, trace_id, _SUMMARIES[trace_id].minutes, 10
    ),
    traces.list_traces: lambda project, *_: traces.list_traces(project, spans_in_hour()).items,
    traces.get_trace: lambda project, trace_id, _: traces.get_trace(project, trace_id),
    traces.summaries: lambda project, trace_id, _: traces.summaries(project, [trace_id]),
}
# One stores and answers nothing; that it stores for its own project only has a test below. The other completes the rows
# that questions above have found.
NO_QUESTION = {scores.write_scores, evaluation.evaluation_spans}
# The ledger knows when things came in, not when they happened.
_AROUND_NOW = TimeRange(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1))
_GROUNDED = ScoreFilter(range=HOUR, name="g")
_REMOVED = "f" * 32
_SUMMARIES: dict[str, traces.TraceRow] = {}


@pytest.fixture(scope="module")
def world(store: str) -> tuple[int, str, str]:
    """A project with something of every kind, for questions only: its id, and the ids of a trace and a span."""
    project_id = new_project_id()
    trace_id = new_trace_id()
    call = llm(
        trace_id, 2, release="1", host="node", gpu_uuids=["GPU"], input="question", input_preview="q", output="answer"
    )
    call |= {"attributes": {"acme.key": "value"}, "ttft_ns": 10**8}
    again = llm(new_trace_id(), 3, release="2", input="question", output="answer")
    store_spans(project_id, span(trace_id, 1), call, again)
    judged = [
        Score(
            score_id="s",
            trace_id=row["trace_id"],
            span_id=row["span_id"],
            time_ns=at(1),
            name="g",
            value=0.5,
            source="evaluator",
        )
        for row in (call, again)
    ]
    said = replace(judged[1], score_id="p", value=1.0, source="human")
    tone = Score(score_id="t", session_id="s", time_ns=at(1), name="tone", value=None, label="rude", source="human")
    scores.write_scores(project_id, [*judged, said, tone], 90)
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    counted = {"requests": 2, "bytes": 100, "accepted": 3, "rejected": 1, "kept_traces": 1}
    same = {"project_id": project_id, "key_id": 1, "signal": "traces", "minute": minute, "reason": ""}
    columns = {name: [value] * len(counted) for name, value in same.items()}
    mark = {"trace_id": _REMOVED, "removed_at": minute, "removed_why": "no rule", "start_time": minute}
    store_rows(project_id, "trace_states", [mark | {"retention_days": 90}])
    client.insert("ingest_ledger", columns | {"what": [*counted], "n": [*counted.values()]})
    store_rows(project_id, "metric_points", [point(gpu.UTILIZATION, 1, 0.5, host="node", gpu_uuid="GPU")])
    store_rows(project_id, "metric_points", [point("vllm:num_requests_running", 1, 2.0)])
    _SUMMARIES[trace_id] = traces.summaries(project_id, [trace_id])[trace_id]
    return project_id, trace_id, call["span_id"]


def functions_of(module: ModuleType) -> set[Callable[..., object]]:
    """The module's own public functions that take a project."""
    found = {function for name, function in inspect.getmembers(module, inspect.isfunction) if not name.startswith("_")}
    mine = {function for function in found if function.__module__ == module.__name__}
    return {function for function in mine if "project_id" in inspect.signature(function).parameters}


def test_every_function_that_takes_a_project_is_walked() -> None:
    assert set().union(*(functions_of(module) for module in MODULES)) == set(QUESTIONS) | NO_QUESTION


@pytest.mark.parametrize("function", QUESTIONS, ids=lambda function: f"{function.__module__}.{function.__name__}")
def test_a_project_sees_its_own_and_another_sees_nothing(world: tuple[int, str, str], function: Ask) -> None:
    project_id, trace_id, span_id = world
    stranger = project_id + 2**31
    assert QUESTIONS[function](project_id, trace_id, span_id)
    assert not QUESTIONS[function](stranger, trace_id, span_id)


def test_another_project_s_scores_pick_no_traces(world: tuple[int, str, str]) -> None:
    project_id, trace_id, _ = world
    stranger = new_project_id()
    store_spans(stranger, span(trace_id, 1))
    judged = spans_in_hour(scores=(ScoreBound("g", below=1),))
    assert [row.trace_id for row in traces.list_traces(project_id, judged).items] == [trace_id]
    assert not traces.list_traces(stranger, judged).items


def test_the_same_trace_id_in_two_projects_is_two_traces(world: tuple[int, str, str]) -> None:
    project_id, trace_id, span_id = world
    stranger = new_project_id()
    store_spans(stranger, span(trace_id, 1, name="of the stranger", span_id=span_id))
    assert traces.get_trace(stranger, trace_id).summary.span_count == 1
    assert spans.get_span(stranger, trace_id, span_id).name == "of the stranger"
    assert traces.get_trace(project_id, trace_id).summary.span_count == 2


def test_a_score_on_another_project_s_span_takes_nothing_from_it(world: tuple[int, str, str]) -> None:
    project_id, trace_id, span_id = world
    stranger = new_project_id()
    mine = Score(score_id="s", trace_id=trace_id, span_id=span_id, time_ns=at(7), name="g", value=0.1, source="api")
    scores.write_scores(stranger, [mine], 90)
    [found] = scores.of_trace(stranger, trace_id)
    assert (found.time_ns, found.service, found.model) == (at(7), "", "")
    assert [each.value for each in scores.of_trace(project_id, trace_id)] == [0.5]
