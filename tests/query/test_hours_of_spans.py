"""Sums of an hour's spans: what is read from them is what the raw spans say, at any minute and whatever is merged."""

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from heliograph.clickhouse import client
from heliograph.query import attribution, models, prompts
from heliograph.query.filters import TimeRange, to_ns
from heliograph.query.hours import over_hours
from heliograph.query.scores import Score, write_scores
from tests.projections import make_projections
from tests.query.rows import START, llm, new_trace_id, store_spans

pytestmark = pytest.mark.usefixtures("store")
# Minutes around the start of an hour: several hours, one and a half, a part of one, one to the minute.
RANGES = [(-170, 55), (-61, 59), (10, 20), (-60, 0), (-1, 1)]
DIMENSIONS = {"user": "user_id", "model": "model", "service": "service", "adapter": "adapter"}
Row = dict[str, Any]


def within(first: float, last: float) -> TimeRange:
    return TimeRange(START + timedelta(minutes=first), START + timedelta(minutes=last))


@pytest.fixture(scope="module")
def calls() -> list[Row]:
    chance = random.Random(11)
    rows = []
    for minute in range(-180, 60, 2):
        fields: Row = {"user_id": chance.choice(["ann", "bob", ""]), "service": chance.choice(["shop", "support"])}
        fields |= {"model": chance.choice(["gpt-4o", "qwen3-8b"]), "adapter": chance.choice(["", "tone"])}
        fields |= {
            "model_requested": chance.choice(["gpt-4o", "gpt-4o-latest"]),
            "prompt_name": "",
            "prompt_version": "",
        }
        fields |= {"kind": chance.choice(["llm", "embedding", "agent"]), "usage_counted": chance.random() < 0.9}
        fields |= {"input_tokens": chance.choice([None, 0, 7]), "output_tokens": chance.choice([None, 0, 5])}
        fields |= {"cost": chance.choice([None, Decimal("0.001"), Decimal("0.25")])}
        if chance.random() < 0.6:
            fields |= {"prompt_name": chance.choice(["refunds", "greeting"]), "prompt_version": chance.choice("12")}
        rows.append(llm(new_trace_id(), minute * 60 + 0.5, **fields))
    return rows


@pytest.fixture
def stored(project_id: int, calls: list[Row]) -> int:
    for begin in range(0, len(calls), 40):
        store_spans(project_id, *calls[begin : begin + 40])
    return project_id


def chosen(rows: list[Row], span: TimeRange) -> list[Row]:
    return [row for row in rows if span.start_ns <= row["start_time"] < span.end_ns]


def costs(rows: list[Row], column: str) -> dict[str, tuple[int, Decimal | None, int]]:
    """Calls, USD and calls without a price by the values of a column, counted in Python."""
    by: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["kind"] != "agent" and row["usage_counted"] and (row["input_tokens"] or row["output_tokens"]):
            by[row[column]].append(row)
    found = {}
    for value, of in by.items():
        known = [row["cost"] for row in of if row["cost"] is not None]
        found[value] = (len(of), sum(known, Decimal(0)) if known else None, len(of) - len(known))
    return found


def asked(project_id: int, span: TimeRange, dimension: str) -> dict[str, tuple[int, Decimal | None, int]]:
    groups = attribution.by_dimension(project_id, span, dimension).groups
    return {group.key: (group.api_calls, group.api_usd, group.api_unpriced) for group in groups}


def merged() -> None:
    """Give every part its sums."""
    make_projections("spans")


def nothing() -> None:
    """Leave the parts as inserts made them: none has a projection."""


@pytest.mark.parametrize("parts", [nothing, merged])
@pytest.mark.parametrize(("first", "last"), RANGES)
def test_costs_of_priced_calls_are_those_of_the_raw_spans(
    stored: int, calls: list[Row], first: int, last: int, parts: Callable[[], None]
) -> None:
    parts()
    span = within(first, last)
    for dimension, column in DIMENSIONS.items():
        assert asked(stored, span, dimension) == costs(chosen(calls, span), column), dimension


@pytest.mark.parametrize("parts", [nothing, merged])
@pytest.mark.parametrize(("first", "last"), RANGES)
def test_names_that_a_model_was_asked_for_by_are_those_of_its_calls(
    stored: int, calls: list[Row], first: int, last: int, parts: Callable[[], None]
) -> None:
    parts()
    span = within(first, last)
    expected: dict[str, list[int]] = defaultdict(list)
    for row in chosen(calls, span):
        if row["model"] == "gpt-4o" and row["kind"] != "agent":
            expected[row["model_requested"]].append(row["start_time"])
    found = {
        one.requested: (one.calls, one.first_ns, one.last_ns) for one in models.requested_as(stored, "gpt-4o", span)
    }
    assert found == {name: (len(times), min(times), max(times)) for name, times in expected.items()}


@pytest.mark.parametrize("parts", [nothing, merged])
def test_scores_of_a_prompt_are_those_of_its_calls_and_of_their_traces(
    stored: int, calls: list[Row], parts: Callable[[], None]
) -> None:
    named = [row for row in calls if row["prompt_name"] == "refunds" and row["start_time"] >= to_ns(START)]
    on_spans = [verdict(row, number / 10, span_id=row["span_id"]) for number, row in enumerate(named[:6])]
    on_traces = [verdict(row, 0.5, score_id="whole") for row in named[2:9]]
    elsewhere = [verdict(row, 1.0, span_id=row["span_id"]) for row in calls if row["prompt_name"] == "greeting"]
    write_scores(stored, [*on_spans, *on_traces, *elsewhere], 90)
    parts()
    expected: dict[str, list[float]] = defaultdict(list)
    versions = {row["trace_id"]: row["prompt_version"] for row in named}
    for score in (*on_spans, *on_traces):
        assert score.value is not None
        expected[versions[score.trace_id]].append(score.value)
    found = prompts.versions(stored, "refunds", within(0, 60))
    assert {one.version: [(each.scored, round(each.mean, 9)) for each in one.scores] for one in found} == {
        version: [(len(values), round(sum(values) / len(values), 9))] for version, values in expected.items()
    }


def verdict(row: Row, value: float, *, span_id: str = "", score_id: str = "a") -> Score:
    given = {"trace_id": row["trace_id"], "span_id": span_id, "time_ns": row["start_time"]}
    return Score(score_id=score_id, name="g", value=value, source="api", **given)


def test_scores_of_a_prompt_are_of_its_newest_hours_where_it_has_too_many_calls(
    project_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"prompt_name": "refunds", "prompt_version": "1"}
    rows = [llm(new_trace_id(), minute * 60.0, **named) for minute in (-150, -90, -80, -30, 10, 20)]
    store_spans(project_id, *rows)
    write_scores(project_id, [verdict(row, 1.0, span_id=row["span_id"]) for row in rows], 90)
    counted = []
    for most in (1, 2, 3, 5, 100):
        monkeypatch.setattr(prompts, "MAX_JUDGED_SPANS", most)
        [version] = prompts.versions(project_id, "refunds", within(-180, 60))
        counted.append(version.scores[0].scored)
    # The hour in which so many are reached counts as a whole: two calls, one, two and one, from the newest.
    assert counted == [2, 2, 3, 5, 6]


def test_sums_of_hours_stay_true_where_spans_are_deleted(stored: int, calls: list[Row]) -> None:
    merged()
    span = within(-180, 60)
    gone = {row["trace_id"] for row in calls if row["user_id"] == "ann"}
    deleted = "DELETE FROM spans WHERE project_id = %(project)s AND trace_id IN %(gone)s"
    client.execute_unscoped(deleted, {"project": stored, "gone": tuple(gone)})
    left = [row for row in calls if row["trace_id"] not in gone]
    for parts in (nothing, merged):
        parts()
        for dimension, column in DIMENSIONS.items():
            assert asked(stored, span, dimension) == costs(left, column)


FORCED = [
    ("hours_of_users", attribution._HOURS.replace("{key}", "user_id")),
    ("hours_of_models", attribution._HOURS.replace("{key}", "adapter")),
    ("hours_of_models", models._HOURS),
]


@pytest.mark.parametrize(("name", "select"), FORCED)
def test_whole_hours_are_read_from_the_sums_that_merges_make(stored: int, name: str, select: str) -> None:
    hours, given = over_hours(select, within(-180, 60))
    assert "UNION ALL" in hours
    given |= {"kinds": ("llm",), "model": "gpt-4o"}
    forced = hours.split("UNION ALL")[0] + f" SETTINGS force_optimize_projection_name = '{name}'"
    merged()
    assert client.query(stored, forced, given, tag="test.hours")


def test_a_prompt_s_calls_are_read_from_the_sums_that_merges_make(stored: int) -> None:
    merged()
    near = within(-180, 60)
    given: Row = {"name": "refunds", "most": 100, "start_ns": near.start_ns, "end_ns": near.end_ns}
    given |= {"near_start_ns": near.start_ns, "near_end_ns": near.end_ns}
    plan = client.query(stored, f"EXPLAIN {prompts.SCORES}", given, tag="test.hours")
    assert any("ReadFromMergeTree (hours_of_prompts)" in row["explain"] for row in plan)
