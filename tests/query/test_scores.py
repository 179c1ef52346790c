"""Scores: written once however often they are sent, and their statistics."""

import math
import random
import statistics
from datetime import timedelta

import pytest

from heliograph.clickhouse import client
from heliograph.query import reliability, scores
from heliograph.query.filters import InvalidFilterError, TimeRange
from heliograph.query.scores import Score, ScoreFilter, wilson_interval, write_scores
from tests.query.rows import HOUR, START, at, llm, new_trace_id, plain, span, store_spans

pytestmark = pytest.mark.usefixtures("store")
GROUNDEDNESS = ScoreFilter(range=HOUR, name="groundedness")


def score(seconds: float = 1, value: float | None = 0.5, **fields: object) -> Score:
    usual = {"score_id": "judge", "trace_id": new_trace_id(), "name": "groundedness", "source": "api"}
    return Score(time_ns=at(seconds), value=value, **(usual | fields))


def test_a_verdict_that_is_written_again_replaces_itself(project_id: int) -> None:
    first = score(value=0.1)
    write_scores(project_id, [first], 90)
    write_scores(project_id, [score(value=0.9, trace_id=first.trace_id, seconds=2000)], 90)
    [found] = scores.list_scores(project_id, GROUNDEDNESS).items
    assert (found.value, found.time_ns) == (0.9, at(1))
    assert scores.summary(project_id, GROUNDEDNESS).total.scored == 1


def test_a_verdict_stands_where_its_span_stands(project_id: int) -> None:
    row = llm(new_trace_id(), 100, service="support", release="2", model="qwen3-8b")
    store_spans(project_id, row)
    write_scores(project_id, [score(3000, trace_id=row["trace_id"], span_id=row["span_id"])], 90)
    [found] = scores.of_trace(project_id, row["trace_id"])
    assert (found.time_ns, found.service, found.release, found.model) == (at(100), "support", "2", "qwen3-8b")
    assert scores.of_span([found], row["span_id"]) == [found]


def test_a_verdict_keeps_its_place_where_the_span_comes_later(project_id: int) -> None:
    row = llm(new_trace_id(), 100)
    write_scores(project_id, [score(3000, trace_id=row["trace_id"], span_id=row["span_id"])], 90)
    store_spans(project_id, row)
    write_scores(project_id, [score(3000, 0.7, trace_id=row["trace_id"], span_id=row["span_id"])], 90)
    [found] = scores.of_trace(project_id, row["trace_id"])
    assert (found.time_ns, found.value, found.service) == (at(3000), 0.7, "shop")


def test_statistics_are_those_of_the_values(project_id: int) -> None:
    chance = random.Random(3)
    values = [chance.random() for _ in range(200)]
    written = [score(value=value) for value in values] + [
        score(value=None, label="no context", source="evaluator") for _ in range(5)
    ]
    write_scores(project_id, written, 90)
    found = scores.summary(project_id, GROUNDEDNESS, bound=0.3).total
    below = sum(value < 0.3 for value in values)
    half = 1.959963984540054 * statistics.stdev(values) / math.sqrt(200)
    assert (found.scored, found.unscored) == (200, 5)
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert (found.mean_low, found.mean_high) == pytest.approx((found.mean - half, found.mean + half))
    assert found.share_below == below / 200
    assert (found.share_low, found.share_high) == wilson_interval(below, 200)


def test_no_values_have_no_mean(project_id: int) -> None:
    nothing = scores.summary(project_id, GROUNDEDNESS, bound=0.5).total
    assert (nothing.scored, nothing.mean, nothing.share_below) == (0, None, None)
    write_scores(project_id, [score(value=None)], 90)
    assert scores.summary(project_id, GROUNDEDNESS).total.unscored == 1
    assert scores.distribution(project_id, GROUNDEDNESS) == []


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    # Published with Wilson's interval: Newcombe, Statistics in Medicine 17, 1998, table I.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_s_interval_is_the_published_one(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(hits, trials) == pytest.approx((low, high), abs=5e-5)


def test_a_series_and_its_groups_add_up(project_id: int) -> None:
    rows = [llm(new_trace_id(), 60 * number, release=str(number % 2)) for number in range(10)]
    store_spans(project_id, *rows)
    write_scores(
        project_id,
        [score(value=index / 10, trace_id=row["trace_id"], span_id=row["span_id"]) for index, row in enumerate(rows)],
        90,
    )
    points = scores.series(project_id, GROUNDEDNESS, bound=0.5, buckets=60)
    assert [point.stats.mean for point in points] == [index / 10 for index in range(10)]
    groups = scores.by_group(project_id, GROUNDEDNESS, "release", bound=0.5)
    assert [(group.value, group.stats.scored, group.stats.share_below) for group in groups] == [
        ("0", 5, 3 / 5),
        ("1", 5, 2 / 5),
    ]


def test_a_summary_says_what_each_of_its_parts_says(project_id: int) -> None:
    fields = [{"release": release, "model": model} for release in ("1", "2", "") for model in ("a", "b")]
    rows = [llm(new_trace_id(), number * 200, **each) for number, each in enumerate(fields * 3)]
    store_spans(project_id, *rows)
    given = [(number / 20, row["trace_id"], row["span_id"]) for number, row in enumerate(rows)]
    found = [score(value=value, trace_id=trace_id, span_id=span_id) for value, trace_id, span_id in given]
    write_scores(project_id, found, 90)
    for chosen in (GROUNDEDNESS, ScoreFilter(range=HOUR, name="nothing of this name")):
        seen = scores.summary(project_id, chosen, bound=0.5)
        assert seen.series == scores.series(project_id, chosen, bound=0.5)
        assert seen.releases == scores.by_group(project_id, chosen, "release", bound=0.5)
        assert seen.models == scores.by_group(project_id, chosen, "model", bound=0.5)
    seen = scores.summary(project_id, GROUNDEDNESS, bound=0.5)
    assert len(seen.releases) == 3
    values = [value for value, _, _ in given]
    assert (seen.total.scored, seen.total.mean) == (18, pytest.approx(statistics.fmean(values)))
    assert seen.total.share_below == sum(value < 0.5 for value in values) / 18


def test_a_distribution_counts_every_value_once(project_id: int) -> None:
    write_scores(project_id, [score(value=number / 8) for number in range(9)], 90)
    bins = scores.distribution(project_id, GROUNDEDNESS, bins=4)
    assert [each.count for each in bins] == [2, 2, 2, 3]
    assert (bins[0].low, bins[-1].high) == (0.0, 1.0)


def test_one_value_alone_is_one_bin(project_id: int) -> None:
    write_scores(project_id, [score(value=4), score(value=4)], 90)
    assert [each.count for each in scores.distribution(project_id, GROUNDEDNESS)] == [2]


def test_reliability_is_what_people_say_of_what_an_evaluator_says(project_id: int) -> None:
    chance = random.Random(5)
    written, pairs = [], []
    for number in range(60):
        said, good = chance.random(), chance.random() < 0.6
        judged = {"trace_id": new_trace_id(), "span_id": f"{number:016x}"}
        written += [
            score(value=said, source="evaluator", score_id="judge", **judged),
            score(value=float(good), source="human", score_id="alice", **judged),
        ]
        pairs.append((said, good))
    # Neither a label alone nor a verdict alone, nor another score's, says anything of the two.
    written += [score(value=1.0, source="human"), score(value=0.1, source="evaluator")]
    written += [
        score(value=1.0, source="human", name="other", trace_id=written[0].trace_id, span_id=written[0].span_id)
    ]
    write_scores(project_id, written, 90)
    found = reliability.reliability(project_id, GROUNDEDNESS, bins=5)
    by_bin = {low: [(said, good) for said, good in pairs if low <= said * 5 < low + 1] for low in range(5)}
    assert [(each.low, each.labelled, each.said, each.good, each.good_low, each.good_high) for each in found] == [
        (
            low / 5,
            len(those),
            pytest.approx(statistics.fmean(said for said, _ in those)),
            sum(good for _, good in those) / len(those),
            *wilson_interval(sum(good for _, good in those), len(those)),
        )
        for low, those in by_bin.items()
        if those
    ]
    gaps = [abs(sum(said for said, _ in those) - sum(good for _, good in those)) for those in by_bin.values()]
    assert reliability.calibration_error(found) == pytest.approx(sum(gaps) / 60)
    assert reliability.calibration_error([]) is None


def test_the_worst_come_first_with_what_was_said(project_id: int) -> None:
    row = llm(new_trace_id(), 5, input_preview="Who?", output_preview="Nobody.")
    store_spans(project_id, row)
    write_scores(project_id, [score(value=0.1, trace_id=row["trace_id"], span_id=row["span_id"]), score(value=0.8)], 90)
    worst, best = scores.worst(project_id, GROUNDEDNESS)
    assert (worst.score.value, worst.span_name, worst.input_preview) == (0.1, "chat", "Who?")
    assert (best.score.value, best.output_preview) == (0.8, "")
    assert [each.score.value for each in scores.worst(project_id, GROUNDEDNESS, limit=1, lowest=False)] == [0.8]


def test_scores_page_through_all_of_them_also_at_equal_times(project_id: int) -> None:
    write_scores(project_id, [score(number % 3) for number in range(25)], 90)
    page = scores.list_scores(project_id, GROUNDEDNESS, limit=4)
    found = list(page.items)
    while page.next_cursor:
        page = scores.list_scores(project_id, GROUNDEDNESS, limit=4, cursor=page.next_cursor)
        found += page.items
    assert len({each.trace_id for each in found}) == len(found) == 25
    assert [each.time_ns for each in found] == sorted((each.time_ns for each in found), reverse=True)


def test_names_say_how_many_could_be_judged(project_id: int) -> None:
    write_scores(project_id, [score(), score(value=None), score(name="helpfulness")], 90)
    found = scores.names(project_id, HOUR)
    assert [(each.name, each.scored, each.unscored) for each in found] == [
        ("groundedness", 1, 1),
        ("helpfulness", 1, 0),
    ]


def test_a_label_alone_is_a_verdict_and_no_missing_one(project_id: int) -> None:
    tone = [score(value=None, name="tone", label=label, source="human") for label in ("rude", "kind", "rude")]
    own = score(value=None, name="tone", label="kind", source="evaluator", kind="label")
    failed = score(value=None, name="tone", label="too long", source="evaluator")
    given_up = score(value=None, name="tone", label="too long", kind="unscored")
    write_scores(project_id, [*tone, own, failed, given_up, score(name="tone", label="neutral")], 90)
    (found,) = scores.names(project_id, HOUR)
    assert (found.scored, found.labelled, found.unscored) == (1, 4, 2)
    assert [(each.label, each.scores) for each in scores.labels(project_id, HOUR)] == [("kind", 2), ("rude", 2)]
    stats = {group.value: group.stats for group in scores.by_group(project_id, ScoreFilter(range=HOUR), "label")}
    assert (stats["rude"].labelled, stats["rude"].mean, stats["too long"].unscored) == (2, None, 2)
    assert scores.labels(project_id + 1, HOUR) == []


def test_a_label_from_before_labels_were_kept_apart_is_told_by_who_gave_it(project_id: int) -> None:
    written = score(value=None, name="tone", label="rude", source="human")
    row = {name: [getattr(written, name)] for name in ("score_id", "trace_id", "name", "value", "label", "source")}
    store = {**row, "time": [written.time_ns], "project_id": [project_id], "retention_days": [90]}
    client.insert("scores", store)
    client.insert("scores", {**store, "source": ["evaluator"], "trace_id": [new_trace_id()]})
    (found,) = scores.names(project_id, HOUR)
    assert (found.labelled, found.unscored) == (1, 1)


def test_scores_of_a_list_of_traces_come_by_trace(project_id: int) -> None:
    mine, other, late = score(), score(), score(3599)
    write_scores(project_id, [mine, other, late], 90)
    early = TimeRange(START, START + timedelta(minutes=1))
    assert set(scores.of_traces(project_id, [mine.trace_id, late.trace_id], early)) == {mine.trace_id}
    assert scores.of_traces(project_id, [], HOUR) == {}


def test_filters_of_scores_hold_together(project_id: int) -> None:
    write_scores(project_id, [score(value=value, source="human") for value in (0.1, 0.4, 0.8)] + [score()], 90)
    chosen = ScoreFilter(range=HOUR, name="groundedness", source=("human",), above=0.2, below=0.7)
    assert [each.value for each in scores.list_scores(project_id, chosen).items] == [0.4]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_refused(project_id: int, value: float) -> None:
    with pytest.raises(InvalidFilterError, match="finite"):
        write_scores(project_id, [score(value=value)], 90)
    assert plain(project_id, "SELECT count() AS n FROM scores WHERE {mine}") == [{"n": 0}]


def test_a_verdict_on_a_trace_stands_where_the_trace_begins(project_id: int) -> None:
    trace_id = new_trace_id()
    store_spans(project_id, span(trace_id, 50, release="7"), llm(trace_id, 51))
    write_scores(project_id, [score(3000, trace_id=trace_id)], 90)
    [found] = scores.of_trace(project_id, trace_id)
    assert (found.time_ns, found.service, found.release, found.model) == (at(50), "shop", "7", "gpt-4o")


def test_a_large_batch_with_long_ids_is_stored_whole(project_id: int) -> None:
    rows = [score(score_id=f"{number:0200}", name="n" * 200) for number in range(600)]
    write_scores(project_id, rows, 90)
    write_scores(project_id, rows, 90)
    assert scores.summary(project_id, ScoreFilter(range=HOUR, name="n" * 200)).total.scored == 600


def test_an_evaluator_s_verdict_replaces_itself(project_id: int) -> None:
    row = llm(new_trace_id(), 100)
    store_spans(project_id, row)
    for value in (0.2, 0.3):
        verdict = score(value=value, trace_id=row["trace_id"], span_id=row["span_id"], source="evaluator")
        write_scores(project_id, [verdict], 90)
    assert [each.value for each in scores.of_trace(project_id, row["trace_id"])] == [0.3]
