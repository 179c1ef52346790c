"""Tail sampling: kept traces are whole, removed ones are gone from the lists and in the sums, whatever is killed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from heliograph.accounts.models import Project
from heliograph.clickhouse import client
from heliograph.holds import asking
from heliograph.query import completeness, ledger
from heliograph.query.filters import TimeRange
from heliograph.query.scores import Score, write_scores
from heliograph.query.traces import get_trace, list_traces
from heliograph.remap import rollups
from heliograph.rules import pins
from heliograph.rules.models import PinnedTrace, SamplingRule, TailSampler
from heliograph.tail import removal, sampler, tasks
from tests.query.rows import START, at, llm, new_trace_id, plain, span, spans_in_hour, store_spans

pytestmark = pytest.mark.usefixtures("store")
TAIL = SamplingRule.Stage.TAIL
ROOT = "a" * 16


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Any) -> None:
    settings.SPOOL_DIR = tmp_path / "spool"


def rule(project: Project, name: str, condition: str, threshold: float | None = None, **fields: Any) -> SamplingRule:
    made = SamplingRule(project=project, name=name, stage=TAIL, condition=condition, threshold=threshold, **fields)
    made.full_clean()
    made.append()
    return made


def begin(project: Project) -> None:
    """The sampler as it stands where the rules were made an hour ago."""
    then = int((datetime.now(UTC) - timedelta(hours=1)).timestamp() * 1e6)
    TailSampler.objects.create(project=project, complete_us=then, given_up_us=then)


def store_trace(project: Project, *, ago: timedelta = timedelta(minutes=5), whole: bool = True, **root: Any) -> str:
    """A trace of a root and a call, stored so long ago."""
    trace_id = new_trace_id()
    received = datetime.now(UTC) - ago
    call = llm(trace_id, 61, parent_span_id=ROOT, received_at=received, cost="0.5", input_tokens=10, output_tokens=5)
    rows = [call | {"is_entry": not whole}]
    if whole:
        rows.append(span(trace_id, 1, **{"span_id": ROOT, "received_at": received, "host": ""} | root))
    names = {name for row in rows for name in row}
    for row in rows:
        for name in names - set(row):
            row[name] = {"duration_ns": 10**9}.get(name, "")
    store_spans(project.pk, *rows)
    return trace_id


def decide(project: Project) -> None:
    sampler.work_on(project, time.monotonic() + 60)


def stored(project: Project) -> dict[str, int]:
    rows = plain(project.pk, "SELECT trace_id, count() AS n FROM spans WHERE {mine} GROUP BY trace_id")
    return {row["trace_id"]: row["n"] for row in rows}


def sums(project: Project) -> list[dict[str, Any]]:
    return plain(
        project.pk,
        """SELECT minute, kind, sum(spans) AS n, sum(errors) AS e, sum(input_tokens) AS t, sum(cost) AS c
        FROM span_rollups_1m WHERE {mine} GROUP BY minute, kind ORDER BY minute, kind""",
    )


def booked(project: Project) -> dict[tuple[str, str], int]:
    rows = plain(project.pk, "SELECT what, reason, sum(n) AS n FROM ingest_ledger WHERE {mine} GROUP BY what, reason")
    return {(row["what"], row["reason"]): row["n"] for row in rows}


def test_what_a_rule_wants_is_kept_whole_and_the_rest_is_removed_and_counted(project: Project) -> None:
    rule(project, "failed", "error")
    rule(project, "slow", "duration", 30)
    begin(project)
    failed, slow, other = (
        store_trace(project, status="error"),
        store_trace(project, duration_ns=90 * 10**9),
        store_trace(project, duration_ns=10**9, start_time=at(61)),
    )
    before = sums(project)
    decide(project)
    assert stored(project) == {failed: 2, slow: 2}
    assert {row.trace_id for row in list_traces(project.pk, spans_in_hour()).items} == {failed, slow}
    known = completeness.states(project.pk, [failed, slow, other])
    assert [(known[each].state, known[each].kept_by) for each in (failed, slow, other)] == [
        ("complete", "failed"),
        ("complete", "slow"),
        ("removed", ""),
    ]
    # Charts speak of all traffic, and a removed trace's summary can still be read.
    assert sums(project) == before
    gone = get_trace(project.pk, other)
    assert gone is not None
    assert (gone.spans, gone.summary.span_count) == ((), 2)
    assert booked(project) == {
        ("removed", ""): 2,
        ("removed_traces", ""): 1,
        ("kept_traces", "failed"): 1,
        ("kept_traces", "slow"): 1,
    }
    now = datetime.now(UTC)
    decided = ledger.sampling(project.pk, TimeRange(now - timedelta(hours=1), now + timedelta(minutes=2)))
    assert (decided.kept, decided.traces, decided.by_rule) == (2, 3, {"failed": 1, "slow": 1})


@pytest.mark.parametrize(
    ("condition", "threshold", "fields", "kept"),
    [
        ("cost", 0.4, {}, True),
        ("cost", 0.6, {}, False),
        ("any", None, {"rate": 1.0}, True),
        ("any", None, {"rate": 0.0}, False),
        ("any", None, {"service": "sh*"}, True),
        ("any", None, {"service": "other"}, False),
        ("any", None, {"environment": "prod"}, False),
    ],
)
def test_each_condition_looks_at_the_whole_trace(
    project: Project, condition: str, threshold: float | None, fields: dict[str, Any], kept: bool
) -> None:
    rule(project, "one", condition, threshold, **fields)
    begin(project)
    trace_id = store_trace(project)
    decide(project)
    assert (trace_id in stored(project)) == kept


def test_a_score_is_waited_for_and_looked_at(project: Project, settings: Settings) -> None:
    rule(project, "ungrounded", "score_below", 0.5, score="groundedness")
    begin(project)
    low, high, recent = (
        store_trace(project, ago=timedelta(minutes=9)),
        store_trace(project, ago=timedelta(minutes=9)),
        store_trace(project, ago=timedelta(minutes=2)),
    )
    for trace_id, value in ((low, 0.2), (high, 0.9)):
        score = Score(
            score_id=trace_id, trace_id=trace_id, name="groundedness", value=value, time_ns=at(61), source="api"
        )
        write_scores(project.pk, [score], 90)
    decide(project)
    assert set(stored(project)) == {low, recent}
    settings.TAIL_SCORE_WAIT_SECONDS = 60
    decide(project)
    assert set(stored(project)) == {low}


def test_a_trace_that_lacks_something_is_decided_once_it_is_given_up(project: Project, settings: Settings) -> None:
    rule(project, "failed", "error")
    begin(project)
    store_trace(project, whole=False)
    decide(project)
    assert len(stored(project)) == 1
    settings.TRACE_GIVE_UP_SECONDS = 60
    decide(project)
    assert stored(project) == {}


def test_a_pinned_trace_stays_and_traces_of_another_project_are_not_looked_at(project: Project) -> None:
    rule(project, "failed", "error")
    begin(project)
    other = Project.objects.create(
        id=project.pk + 2**31, organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )
    pinned, theirs = store_trace(project), store_trace(other)
    PinnedTrace.objects.create(project=project, trace_id=pinned)
    decide(project)
    decide(other)
    assert set(stored(project)) == {pinned}
    assert set(stored(other)) == {theirs}
    assert not TailSampler.objects.filter(project=other).exists()


def test_a_trace_that_is_pinned_after_it_was_decided_and_before_it_is_removed_stays(project: Project) -> None:
    rule(project, "failed", "error")
    begin(project)
    spared, gone = store_trace(project), store_trace(project)
    worker = TailSampler.objects.get(project=project)
    minutes = [minute for trace in (spared, gone) for minute in get_trace(project.pk, trace).summary.minutes]
    worker.pending = removal.plan(dict.fromkeys((spared, gone), removal.NOT_WANTED), {}, minutes, 90)
    PinnedTrace.objects.create(project=project, trace_id=spared)
    worker.save()
    removal.carry_out(worker)
    assert set(stored(project)) == {spared}
    assert completeness.states(project.pk, [spared])[spared].kept_by == removal.PINNED


def test_a_trace_under_legal_hold_stays_also_where_its_removal_was_decided_before(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "wake_worker", lambda: None)
    rule(project, "failed", "error")
    begin(project)
    first, second, gone = (store_trace(project) for _ in range(3))
    worker = TailSampler.objects.get(project=project)
    minutes = [minute for trace in (first, gone) for minute in get_trace(project.pk, trace).summary.minutes]
    worker.pending = removal.plan(dict.fromkeys((first, gone), removal.NOT_WANTED), {}, minutes, 90)
    worker.save()
    for trace_id in (first, second):
        asking.place(project, "traces", trace_id, "Case 12", "olive")
    removal.carry_out(worker)
    assert set(stored(project)) == {first, second}
    decide(project)
    assert set(stored(project)) == {first, second}
    assert completeness.states(project.pk, [second])[second].kept_by == "legal hold"


def test_a_hold_that_is_placed_while_the_sampler_waits_for_the_ingest_is_seen(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "wake_worker", lambda: None)
    rule(project, "failed", "error")
    begin(project)
    trace_id = store_trace(project, session_id="of the dispute")

    @contextmanager
    def got_late(*_: object) -> Iterator[None]:
        asking.place(project, "session", "of the dispute", "Case 12", "olive")
        yield

    monkeypatch.setattr(removal, "commits_held", got_late)
    decide(project)
    assert set(stored(project)) == {trace_id}
    assert completeness.states(project.pk, [trace_id])[trace_id].kept_by == "legal hold"


def test_a_trace_that_is_being_removed_cannot_be_pinned(project: Project) -> None:
    rule(project, "failed", "error")
    begin(project)
    trace_id = store_trace(project)
    TailSampler.objects.filter(project=project).update(pending=removal.plan({trace_id: "x"}, {}, [], 90))
    with pytest.raises(pins.UnpinnableError, match="is removing this trace"):
        pins.pin(project, trace_id, None)
    assert not PinnedTrace.objects.filter(project=project).exists()


def test_what_comes_late_follows_the_decision_and_is_not_decided_again(project: Project) -> None:
    rule(project, "failed", "error")
    begin(project)
    kept, gone = store_trace(project, status="error", ago=timedelta(minutes=9)), store_trace(project)
    decide(project)
    before = booked(project)
    for trace_id in (kept, gone):
        late = datetime.now(UTC) - timedelta(seconds=30)
        store_spans(project.pk, span(trace_id, 2, parent_span_id=ROOT, status="error", received_at=late))
    SamplingRule.objects.filter(project=project).update(service="no such service")
    decide(project)
    assert stored(project) == {kept: 3}
    after = booked(project)
    assert after.pop(("removed", "")) == before.pop(("removed", "")) + 1
    assert after == before


def test_rules_begin_with_the_traces_that_come_after_them_and_end_with_the_last_rule(project: Project) -> None:
    old = store_trace(project)
    made = rule(project, "failed", "error")
    decide(project)
    assert set(stored(project)) == {old}
    made.delete()
    decide(project)
    assert not TailSampler.objects.filter(project=project).exists()


STEPS = ["tail.count", "remap.derive", "tail.delete", "insert.trace_states", "insert.ingest_ledger"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_step_the_next_worker_ends_it_and_nothing_counts_twice(
    project: Project, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    rule(project, "failed", "error")
    begin(project)
    kept, gone = store_trace(project, status="error"), store_trace(project)
    before = sums(project)
    whole = {"query": client.query, "insert": client.insert}

    def killing(name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            is_it = step == (f"insert.{arguments[0]}" if name == "insert" else named["tag"])
            if is_it and when == "before":
                raise KeyboardInterrupt
            answer = whole[name](*arguments, **named)
            if is_it:
                raise KeyboardInterrupt
            return answer

        return call

    for name in whole:
        monkeypatch.setattr(client, name, killing(name))
    with pytest.raises(KeyboardInterrupt):
        decide(project)
    monkeypatch.undo()
    # The lease of a worker that was killed has run out.
    TailSampler.objects.update(leased_until=None)
    decide(project)
    assert stored(project) == {kept: 2}
    assert sums(project) == before
    assert booked(project) == {("removed", ""): 2, ("removed_traces", ""): 1, ("kept_traces", "failed"): 1}
    assert completeness.removed(project.pk, [kept, gone]) == {gone}
    # What was noted of the removed spans is what they had added, once.
    noted = plain(project.pk, "SELECT sum(spans) AS n, sum(input_tokens) AS t FROM span_rollups_removed WHERE {mine}")
    assert noted == [{"n": 2, "t": 10}]
    assert TailSampler.objects.get().pending is None


def test_sums_that_are_derived_again_still_hold_the_removed_traffic(project: Project) -> None:
    rule(project, "failed", "error")
    begin(project)
    store_trace(project, status="error")
    store_trace(project)
    before = sums(project)
    decide(project)
    try:
        rollups.rebuild(project.pk, START, START + timedelta(hours=1), 0, is_last=True)
    finally:
        rollups.drop_minutes(project.pk)
    assert sums(project) == before


def test_a_fault_is_kept_for_a_person_and_stops_no_other_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule(project, "failed", "error")
    begin(project)
    trace_id = store_trace(project)

    def broken(*_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(sampler, "decide", broken)
    tasks.decide_traces()
    assert TailSampler.objects.get().error == "ValueError: no such thing"
    monkeypatch.undo()
    assert trace_id in stored(project)
    TailSampler.objects.update(complete_us=0, complete_trace="")
    tasks.decide_traces()
    assert (stored(project), TailSampler.objects.get().error) == ({}, "")


def test_the_table_of_removed_sums_has_the_columns_of_the_sums() -> None:
    sums, removed = (
        [(row["name"], row["type"]) for row in client.execute_unscoped(f"DESCRIBE TABLE {table}")]
        for table in ("span_rollups_1m", "span_rollups_removed")
    )
    assert sums == removed


def test_a_removal_is_planned_with_all_that_it_needs() -> None:
    work = removal.plan({"a": removal.NOT_WANTED}, {"b": "failed"}, [60, 0, 60], 90)
    assert (work["minutes"], work["removed"], work["kept"]) == ([0, 60], {"a": removal.NOT_WANTED}, {"b": "failed"})
