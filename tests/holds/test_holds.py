"""What is held stays, whoever comes to remove it; what is lifted goes in its own time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.blobs import store as blobs
from heliograph.clickhouse import client
from heliograph.clickhouse.errors import CapacityError, UnavailableError
from heliograph.disk.tasks import remove_expired_blobs
from heliograph.erasure import asking as erasing
from heliograph.erasure import stored as erasure_stored
from heliograph.erasure import tasks as erasure_tasks
from heliograph.erasure import turns
from heliograph.erasure.models import Erasure
from heliograph.holds import asking, held, stored, tasks
from heliograph.holds import work as turns_of_holds
from heliograph.holds.asking import CannotHold
from heliograph.holds.held import held_of
from heliograph.holds.models import MAX_TRIES, HeldTrace, Hold
from heliograph.query.scores import Score, write_scores
from heliograph.query.traces import get_trace
from tests.conftest import new_project_id
from tests.holds.conftest import ALICE, AT, BLOB_DAY, BOB, blob_of, count, expire, score_of, talk, traces_in, work
from tests.query.rows import llm, new_trace_id, span, store_rows, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
TEXT, SHARED, OTHERS = "a" * 32, "b" * 32, "c" * 32


def neighbour(project: Project) -> Project:
    return Project.objects.create(
        id=new_project_id(), organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )


def test_what_is_held_outlives_its_retention_and_goes_once_it_is_lifted(project: Project, over: None) -> None:
    digest, reference = blob_of(project, b"\x89PNG alice's picture")
    others, _ = blob_of(project, b"\x89PNG nobody's any more")
    alices = talk(project, ALICE, texts=(TEXT, SHARED), output=reference)
    bobs = talk(project, BOB, texts=(OTHERS, SHARED))
    before = get_trace(project.pk, alices)
    hold = work(asking.place(project, "user", ALICE, "Case 12", "olive"))
    assert (hold.state, hold.traces) == ("active", 1)

    expire(project)
    remove_expired_blobs()

    assert count(project) == {
        "spans": 2,
        "log_records": 1,
        "scores": 1,
        "traces": 1,
        "subject_traces": 2,
        "contents": 2,
    }
    for table in ("spans", "log_records", "scores", "traces"):
        assert traces_in(project, table) == {alices}
    after = get_trace(project.pk, alices)
    assert after is not None
    assert after == before
    picture = blobs.read(project.pk, BLOB_DAY, digest)
    assert picture is not None
    picture.close()
    assert blobs.read(project.pk, BLOB_DAY, others) is None
    assert held_of(project.pk, [alices, bobs]) == {alices}

    asking.lift(hold, "Case 12 is closed", "olive")
    assert held_of(project.pk, [alices]) == set()
    lifted = work(hold)
    assert lifted.state == "lifted"
    assert ALICE not in lifted.subject
    expire(project)
    remove_expired_blobs()
    # Texts have a week more, since somebody may refer to them again.
    assert count(project) == dict.fromkeys(count(project), 0) | {"contents": 2}
    assert blobs.read(project.pk, BLOB_DAY, digest) is None


def test_what_is_lifted_before_its_time_reads_as_it_came(project: Project) -> None:
    talk(project, ALICE, texts=(TEXT,), days=365)
    sql = "SELECT retention_days FROM {} WHERE project_id = %(project_id)s GROUP BY ALL"
    hold = work(asking.place(project, "user", ALICE, "Case 12", "olive"))
    asking.lift(hold, "closed", "olive")
    work(hold)
    for table in ("spans", "log_records FINAL", "scores FINAL", "traces FINAL", "subject_traces FINAL"):
        assert [row["retention_days"] for row in client.query(project.pk, sql.format(table), tag="test")] == [365]
    held_texts = "SELECT hash FROM contents WHERE project_id = %(project_id)s AND expires_on > '2090-01-01'"
    assert client.query(project.pk, held_texts, tag="test") == []
    assert count(project)["spans"] == 2


def test_two_holds_of_a_trace_are_two_and_it_goes_with_the_last(project: Project, over: None) -> None:
    trace_id = talk(project, ALICE)
    first = work(asking.place(project, "user", ALICE, "Case 12", "olive"))
    second = work(asking.place(project, "traces", trace_id, "Case 13", "olive"))
    asking.lift(first, "closed", "olive")
    work(first)
    expire(project)
    assert count(project)["spans"] == 2
    assert held_of(project.pk, [trace_id]) == {trace_id}
    asking.lift(second, "closed", "olive")
    work(second)
    expire(project)
    assert count(project)["spans"] == 0


@pytest.mark.parametrize("kind", Hold.Kind.values)
def test_what_a_hold_that_is_being_placed_is_about_does_not_go_with_one_that_is_lifted(
    project: Project, over: None, kind: str
) -> None:
    digest, reference = blob_of(project, b"\x89PNG alice's picture")
    trace_id = talk(project, ALICE, output=reference)
    lifted = work(asking.place(project, "traces", trace_id, "Case 12", "olive"))
    start = datetime.fromtimestamp(AT // 10**9, UTC) - timedelta(hours=1)
    subjects = {"traces": trace_id, "session": f"session of {ALICE}", "user": ALICE, "filter": f"user:{ALICE}"}
    later = {"start": start, "end": start + timedelta(hours=2)}
    placed = asking.place(project, kind, subjects[kind], "Case 13", "olive", **later)
    asking.lift(lifted, "closed", "olive")
    while Hold.waiting().exists():
        tasks.work_off()
        remove_expired_blobs()
    placed.refresh_from_db()
    lifted.refresh_from_db()
    assert (placed.state, placed.traces, lifted.state) == ("active", 1, "lifted")
    expire(project)
    assert count(project)["spans"] == 2
    picture = blobs.read(project.pk, BLOB_DAY, digest)
    assert picture is not None
    picture.close()


def test_what_a_hold_will_find_of_a_user_does_not_go_with_one_that_is_lifted(project: Project, over: None) -> None:
    standing = work(asking.place(project, "user", ALICE, "Case 12", "olive"))
    trace_id = talk(project, ALICE)
    lifted = work(asking.place(project, "traces", trace_id, "Case 13", "olive"))
    asking.lift(lifted, "closed", "olive")
    assert work(lifted).state == "lifted"
    work(standing, sweep=True)
    expire(project)
    assert count(project)["spans"] == 2


@pytest.mark.parametrize("kind", Hold.Kind.values)
def test_whoever_removes_something_is_told_before_a_worker_has_come_to_the_hold(project: Project, kind: str) -> None:
    first, other = talk(project, ALICE, days=365), talk(project, BOB, days=365)
    store_spans(project.pk, llm(first, 0, start_time=AT, status="error", retention_days=365))
    start = datetime.fromtimestamp(AT // 10**9, UTC) - timedelta(hours=1)
    subjects = {"traces": first, "session": f"session of {ALICE}", "user": ALICE, "filter": "status:error"}
    asking.place(project, kind, subjects[kind], "Case 12", "olive", start=start, end=start + timedelta(hours=2))
    assert held_of(project.pk, [first, other]) == {first}
    assert held_of(neighbour(project).pk, [first, other]) == set()
    erase(project)
    assert traces_in(project, "spans") == {first, other}


def test_a_session_under_hold_keeps_what_it_adds_and_late_spans_of_its_traces(project: Project, over: None) -> None:
    first = talk(project, ALICE)
    hold = work(asking.place(project, "session", f"session of {ALICE}", "Case 12", "olive"))
    second = talk(project, ALICE)
    store_spans(project.pk, llm(first, 0, start_time=AT, retention_days=1))
    store_rows(project.pk, "scores", [score_of(first, value=0.0, updated_at=datetime.now(UTC))])
    bobs = talk(project, BOB)
    # Whoever removes something is told at once; the days of its rows follow within the hour.
    assert held_of(project.pk, [first, second, bobs]) == {first, second}
    work(hold, sweep=True)
    expire(project)
    assert traces_in(project, "spans") == {first, second}
    assert (count(project)["spans"], count(project)["scores"]) == (5, 2)
    assert Hold.objects.get().traces == 2
    (score,) = client.query(
        project.pk,
        "SELECT value FROM scores FINAL WHERE project_id = %(project_id)s AND trace_id = %(t)s",
        {"t": first},
        tag="test",
    )
    assert score["value"] == 0.0


def test_what_is_judged_under_hold_past_its_days_is_held_too_and_goes_with_it(
    project: Project, over: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_id, free = talk(project, ALICE), talk(project, BOB)
    session = score_of("", session_id=f"session of {ALICE}", score_id="of the session")
    store_rows(project.pk, "scores", [session])
    hold = work(asking.place(project, "traces", trace_id, "Case 12", "olive"))

    def judge(value: float) -> None:
        of_traces = [
            Score(score_id=f"score of {each}", trace_id=each, name="good", value=value, time_ns=AT, source="api")
            for each in (trace_id, free)
        ]
        of_session = replace(of_traces[0], score_id="of the session", trace_id="", session_id=f"session of {ALICE}")
        write_scores(project.pk, [*of_traces, of_session], 1)

    judge(0.25)
    expire(project)
    sql = "SELECT score_id, value, retention_days FROM scores FINAL WHERE project_id = %(project_id)s"
    rows = {row["score_id"]: row["value"] for row in client.query(project.pk, sql, tag="test")}
    assert rows == {f"score of {trace_id}": 0.25, "of the session": 0.25}

    query = client.query

    def meanwhile(*arguments: Any, tag: str, **named: Any) -> Any:
        if tag == "holds.stage":
            monkeypatch.setattr(client, "query", query)
            judge(0.75)
        return query(*arguments, tag=tag, **named)

    asking.lift(hold, "closed", "olive")
    monkeypatch.setattr(client, "query", meanwhile)
    work(hold)
    assert client.query is query
    expire(project)
    assert traces_in(project, "scores") == set()


def test_a_filter_and_a_time_range_name_what_is_held(project: Project) -> None:
    start = datetime.fromtimestamp(AT // 10**9, UTC) - timedelta(hours=1)
    failed, well = (talk(project, ALICE, days=365) for _ in range(2))
    store_spans(project.pk, llm(failed, 0, start_time=AT, status="error", retention_days=365))
    end = start + timedelta(hours=2)
    hold = work(asking.place(project, "filter", "status:error", "Case 12", "olive", start=start, end=end))
    assert hold.traces == 1
    assert held_of(project.pk, [failed, well]) == {failed}


def test_an_erasure_spares_what_is_held_says_so_and_takes_it_once_it_is_lifted(project: Project) -> None:
    first, second = talk(project, ALICE, days=365), talk(project, ALICE, days=365)
    hold = work(asking.place(project, "traces", first, "Case 12", "olive"))
    done = erase(project)
    assert traces_in(project, "spans") == {first}
    assert traces_in(project, "scores") == traces_in(project, "log_records") == {first}
    assert (done.result["counts"]["traces"], done.result["held_traces"]) == (1, 1)
    assert "1 traces under legal hold" in done.result["remains"][0]
    assert second not in traces_in(project, "traces")

    asking.lift(hold, "closed", "olive")
    work(hold)
    done = erase(project)
    assert (done.result["held_traces"], traces_in(project, "spans")) == (0, set())


def erase(project: Project) -> Erasure:
    erasure = erasing.ask(project, ALICE, None)
    for _ in range(20):
        Erasure.objects.filter(pk=erasure.pk).exclude(not_before=None).update(not_before=timezone.now())
        erasure_tasks.work_off()
        erasure.refresh_from_db()
        if not erasure.is_open:
            return erasure
    raise AssertionError(erasure.note)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("asking", "tasks"):
        monkeypatch.setattr(f"heliograph.erasure.{room}.wake_worker", lambda: None)


def test_an_erasure_that_was_planned_before_the_hold_spares_it(project: Project) -> None:
    trace_id = talk(project, ALICE, days=365)
    erasure = erasing.ask(project, ALICE, None)
    assert erasure.claim()
    assert turns._plan(erasure)
    work(asking.place(project, "user", ALICE, "Case 12", "olive"))
    turns.turn(erasure)
    assert traces_in(project, "spans") == {trace_id}


def test_a_hold_that_is_placed_while_an_erasure_waits_for_the_ingest_is_seen(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_id = talk(project, ALICE, days=365)

    @contextmanager
    def got_late(*_: object) -> Iterator[None]:
        asking.place(project, "user", ALICE, "Case 12", "olive")
        yield

    erasing.ask(project, ALICE, None)
    monkeypatch.setattr(erasure_stored, "commits_held", got_late)
    erasure_tasks.work_off()
    assert traces_in(project, "spans") == {trace_id}


@pytest.mark.parametrize("killed_after", ["remap.derive", "erasure.delete"])
def test_an_erasure_that_had_begun_when_a_hold_was_placed_is_ended_and_counts_nothing_twice(
    project: Project, monkeypatch: pytest.MonkeyPatch, killed_after: str
) -> None:
    first, second = talk(project, ALICE, days=365), talk(project, ALICE, days=365)
    store_spans(project.pk, llm(first, 0, start_time=AT, retention_days=365, response_id="of alice's answer"))
    pending = {"response_id": "of alice's answer", "score_id": "s", "name": "good", "time": AT, "retention_days": 365}
    store_rows(project.pk, "pending_scores", [pending])
    erasure = erasing.ask(project, ALICE, None)
    query = client.query

    def killed(*arguments: Any, tag: str, **named: Any) -> Any:
        answer = query(*arguments, tag=tag, **named)
        if tag == killed_after:
            raise KeyboardInterrupt
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(client, "query", killed)
        with pytest.raises(KeyboardInterrupt):
            erasure_tasks.work_off()
    asking.place(project, "user", ALICE, "Case 12", "olive")
    Erasure.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    erasure_tasks.work_off()
    erasure.refresh_from_db()
    assert erasure.counts["spans"] == 5
    assert traces_in(project, "spans") & {first, second} == set()
    sql = "SELECT {} AS n FROM {} WHERE project_id = %(project_id)s"
    (noted,) = client.query(project.pk, sql.format("sum(spans)", "span_rollups_removed"), tag="test")
    (left,) = client.query(project.pk, sql.format("count()", "pending_scores"), tag="test")
    assert (noted["n"], left["n"]) == (5, 0)


def test_a_hold_says_of_which_of_its_traces_nothing_is_stored(project: Project) -> None:
    stays, removed = talk(project, ALICE, days=365), talk(project, BOB, days=365)
    store_rows(project.pk, "log_records", [{"time": AT, "record_id": 1, "trace_id": "d" * 32, "retention_days": 365}])
    hold = asking.place(project, "traces", f"{stays} {removed} {'d' * 32} {'e' * 32}", "Case 12", "olive")
    client.query(project.pk, f"DELETE FROM spans WHERE project_id = %(project_id)s AND trace_id = '{removed}'", tag="t")
    client.query(
        project.pk, f"DELETE FROM log_records WHERE project_id = %(project_id)s AND trace_id = '{removed}'", tag="t"
    )
    work(hold)
    assert (hold.traces, hold.absent) == (4, 2)
    assert set(hold.held.filter(is_absent=True).values_list("trace_id", flat=True)) == {removed, "e" * 32}
    # A trace may come later than the hold on it.
    store_spans(project.pk, span("e" * 32, 0, start_time=AT, retention_days=365))
    assert work(hold, sweep=True).absent == 1


def test_whoever_is_killed_while_a_hold_is_placed_or_lifted_leaves_nothing_lost_or_doubled(
    project: Project, over: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = [talk(project, ALICE, texts=(TEXT,)) for _ in range(3)]
    before = [get_trace(project.pk, trace) for trace in traces]
    monkeypatch.setattr(turns_of_holds, "TRACES_A_TURN", 2)
    query, execute, ended = client.query, client.execute_unscoped, set[str]()
    phase = "placing"

    def ending(asked: Any) -> Any:
        def once(*arguments: Any, tag: str, **named: Any) -> Any:
            """End once after each kind of statement."""
            answer = asked(*arguments, tag=tag, **named)
            sql = " ".join(next(each for each in arguments if isinstance(each, str)).split()[:4])
            name = f"{phase} {tag} {sql}"
            if tag.startswith(("holds.", "remap.", "rows_of_traces.")) and name not in ended:
                ended.add(name)
                raise KeyboardInterrupt
            return answer

        return once

    def go_on(hold: Hold) -> None:
        for _ in range(120):
            Hold.objects.update(leased_until=None, not_before=None)
            try:
                tasks.work_off()
            except KeyboardInterrupt:
                continue
            if not Hold.waiting().exists():
                hold.refresh_from_db()
                assert hold.error == ""
                return
        raise AssertionError(hold.state)

    with monkeypatch.context() as patched:
        patched.setattr(client, "query", ending(query))
        patched.setattr(client, "execute_unscoped", ending(execute))
        hold = asking.place(project, "user", ALICE, "Case 12", "olive")
        go_on(hold)
    assert (hold.state, len(ended) > 12) == ("active", True)
    expire(project)
    whole = {"spans": 6, "log_records": 3, "scores": 3, "traces": 3, "subject_traces": 6, "contents": 1}
    assert count(project) == whole
    assert [get_trace(project.pk, trace) for trace in traces] == before

    phase = "lifting"
    with monkeypatch.context() as patched:
        patched.setattr(client, "query", ending(query))
        patched.setattr(client, "execute_unscoped", ending(execute))
        asking.lift(hold, "closed", "olive")
        go_on(hold)
    assert (hold.state, HeldTrace.objects.count()) == ("lifted", 0)
    assert len([name for name in ended if name.startswith("lifting")]) > 12
    expire(project)
    assert count(project) == dict.fromkeys(whole, 0) | {"contents": 1}


def test_a_sweep_whose_worker_is_killed_knows_the_files_of_late_spans_all_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_id = talk(project, ALICE, days=365)
    hold = work(asking.place(project, "user", ALICE, "Case 12", "olive"))
    digest, reference = blob_of(project, b"\x89PNG that came late")
    store_spans(project.pk, llm(trace_id, 0, start_time=AT, retention_days=365, output=reference))

    def killed(*arguments: Any) -> None:
        keep(*arguments)
        raise KeyboardInterrupt

    keep = stored.keep
    with monkeypatch.context() as patched:
        patched.setattr(stored, "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            work(hold, sweep=True)
    Hold.objects.update(leased_until=None)
    work(hold)
    remove_expired_blobs()
    picture = blobs.read(project.pk, BLOB_DAY, digest)
    assert picture is not None
    picture.close()


def test_a_worker_whose_claim_ran_out_keeps_nothing_of_a_hold_that_is_lifted_by_now(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk(project, ALICE, days=365)
    hold = asking.place(project, "user", ALICE, "Case 12", "olive")
    slow = Hold.objects.get()
    assert slow.claim()
    turns_of_holds._find(slow)
    slow.refresh_from_db()
    asking.lift(hold, "closed", "olive")
    Hold.objects.update(leased_until=None)
    work(hold)
    turns_of_holds._keep(slow)
    sql = "SELECT DISTINCT retention_days FROM spans WHERE project_id = %(project_id)s"
    assert [row["retention_days"] for row in client.query(project.pk, sql, tag="test")] == [365]


def test_a_hold_is_of_its_own_project_alone(project: Project, over: None) -> None:
    other = neighbour(project)
    trace_id = talk(project, ALICE)
    store_spans(other.pk, span(trace_id, 0, start_time=AT, retention_days=1, user_id=ALICE))
    work(asking.place(project, "user", ALICE, "Case 12", "olive"))
    assert held_of(other.pk, [trace_id]) == set()
    expire(project)
    assert (traces_in(project, "spans"), traces_in(other, "spans")) == ({trace_id}, set())
    digest = "d" * 64
    assert not held.is_held_blob(other.pk, f"{BLOB_DAY}/{digest}")


def week_of(moment: datetime) -> str:
    return f"{moment - timedelta(days=moment.weekday()):%Y%m%d}"


@pytest.mark.parametrize("kind", Hold.Kind.values)
def test_weeks_of_what_is_held_are_known_from_the_moment_that_the_hold_is_placed(project: Project, kind: str) -> None:
    trace_id = talk(project, ALICE, days=365)
    start = datetime.fromtimestamp(AT // 10**9, UTC) - timedelta(hours=1)
    assert held.held_weeks("spans") == held.held_weeks("log_records") == set()
    subjects = {"traces": trace_id, "session": f"session of {ALICE}", "user": ALICE, "filter": f"user:{ALICE}"}
    later = {"start": start, "end": start + timedelta(hours=2)}
    hold = asking.place(project, kind, subjects[kind], "Case 12", "olive", **later)
    its_week, margin = week_of(start), {week_of(start + timedelta(days=days)) for days in (-7, 7)}
    reach = {its_week} | (margin if kind == "filter" else set())
    for table in held.HELD_TABLES:
        assert held.held_weeks(table) & (margin | {its_week}) == reach
    work(hold)
    for table in held.HELD_TABLES:
        assert held.held_weeks(table) & (margin | {its_week}) == {its_week}


def test_a_hold_that_fails_is_tried_less_often_and_keeps_the_disk_from_nobody_but_removers_from_its_traces(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_id = talk(project, ALICE, days=365)
    start = datetime.fromtimestamp(AT // 10**9, UTC) - timedelta(hours=1)
    later = {"start": start, "end": start + timedelta(hours=2)}
    hold = asking.place(project, "filter", f"user:{ALICE}", "Case 12", "olive", **later)
    # Where no other test holds anything; a trace that is found may reach into it.
    week_before = week_of(start - timedelta(days=7))
    assert week_before in held.held_weeks("spans")
    failure: Exception = UnavailableError("it is restarted")

    def fails(*_: object) -> None:
        raise failure

    monkeypatch.setattr(tasks, "turn", fails)
    for _ in range(2 * MAX_TRIES):
        tasks.work_off()
    assert not Hold.failing().exists(), "a store that is away is no fault of the hold"
    failure = CapacityError("it reads too much")
    for _ in range(MAX_TRIES - 1):
        tasks.work_off()
    assert (Hold.failing().exists(), Hold.waiting().exists()) == (False, True)
    # One that kills its worker counts like one that fails.
    monkeypatch.setattr(tasks, "turn", killed := Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tasks.work_off()
    Hold.objects.update(leased_until=None)
    assert (list(Hold.failing()), Hold.waiting().exists()) == ([hold], False)
    tasks.work_off()
    assert killed.call_count == 1
    assert week_before not in held.held_weeks("spans")
    assert held_of(project.pk, [trace_id]) == {trace_id}

    monkeypatch.undo()
    Hold.objects.update(not_before=timezone.now())
    work(hold)
    assert not Hold.failing().exists()
    assert week_of(start) in held.held_weeks("spans")


def test_a_hold_that_fails_is_lifted_at_once(project: Project) -> None:
    hold = asking.place(project, "user", ALICE, "Case 12", "olive")
    Hold.objects.update(tries=MAX_TRIES, not_before=timezone.now() + timedelta(hours=1))
    asking.lift(hold, "closed", "olive")
    assert work(hold).state == "lifted"


def test_a_hold_has_a_reason_and_bounds(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    wrong: list[tuple[str, str, str, dict[str, Any]]] = [
        ("user", ALICE, " ", {}),
        ("user", "", "Case", {}),
        ("user", "a\0b", "Case", {}),
        ("traces", "xyz", "Case", {}),
        ("traces", " ".join(new_trace_id() for _ in range(asking.MAX_IDS + 1)), "Case", {}),
        ("filter", "status:error", "Case", {}),
        ("filter", "status:error", "Case", {"start": now, "end": now + timedelta(days=1)}),
        ("filter", "latency>soon", "Case", {"start": now - timedelta(days=2), "end": now - timedelta(days=1)}),
        ("filter", "", "Case", {"start": now - timedelta(days=900), "end": now - timedelta(days=1)}),
        ("everything", "", "Case", {}),
    ]
    for kind, subject, reason, more in wrong:
        with pytest.raises(CannotHold):
            asking.place(project, kind, subject, reason, "olive", **more)
    monkeypatch.setattr(asking, "MOST_OPEN", 1)
    hold = asking.place(project, "user", ALICE, "Case", "olive")
    with pytest.raises(CannotHold, match="at most 1 holds"):
        asking.place(project, "user", BOB, "Case", "olive")
    with pytest.raises(CannotHold, match="Say why"):
        asking.lift(hold, "", "olive")
    asking.lift(hold, "closed", "olive")
    with pytest.raises(CannotHold, match="lifted already"):
        asking.lift(hold, "closed", "olive")


def test_a_hold_that_finds_more_than_it_can_name_says_so(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        talk(project, ALICE, days=365)
    monkeypatch.setattr(turns_of_holds, "MAX_TRACES", 2)
    hold = work(asking.place(project, "user", ALICE, "Case", "olive"))
    assert (hold.traces, hold.is_cut) == (2, True)
