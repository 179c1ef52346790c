"""The filter language: what it reads and writes, what it says of mistakes, and that it picks the spans it names."""

import random
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph.query import fields, filter_document, language, scores
from heliograph.query.conditions import Condition
from heliograph.query.filters import InvalidFilterError, ScoreBound, SpanFilter
from heliograph.query.scores import Score
from heliograph.query.spans import list_spans
from heliograph.query.terms import FilterTextError, as_pattern
from heliograph.query.traces import list_traces
from tests.query.rows import HOUR, SECOND, at, llm, new_trace_id, plain, span, spans_in_hour, store_spans

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
WORD = st.from_regex(r"[a-z0-9]{1,8}( [a-z0-9]{1,8})?", fullmatch=True)
TEXT_FIELDS = [field.name for field in fields.FIELDS if field.kind in {"text", "list"} and field.name[-4:] != "span"]
NUMBER_FIELDS = [field.name for field in fields.FIELDS if field.is_number]
SIZES = st.floats(0, 2**53, allow_nan=False) | st.integers(0, 2**53).map(float)


def once(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, min_size=1, max_size=3, unique=True).map(tuple)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    return as_pattern(draw(TEXT)) + "*" + as_pattern(draw(st.just("") | TEXT))


KEYS = st.sampled_from(sorted(fields.MAPS)).flatmap(lambda name: TEXT.map(lambda key: f"{name}.{key}"))
NAMES = st.sampled_from([name for name in TEXT_FIELDS if name != "trace"]) | KEYS
NEGATED = st.one_of(
    st.builds(Condition, NAMES, st.just("is"), once(TEXT), negated=st.just(True)),
    st.builds(Condition, NAMES, st.just("like"), once(patterns()), negated=st.just(True)),
    st.builds(Condition, st.just("text"), st.just("text"), st.tuples(WORD), negated=st.just(True)),
)
SIZED = st.builds(
    Condition,
    st.sampled_from(NUMBER_FIELDS) | KEYS,
    st.sampled_from(["<", ">"]),
    numbers=st.tuples(SIZES),
    negated=st.booleans(),
)
PRESENT = st.builds(
    Condition, st.just("has"), st.just("has"), once(st.sampled_from(sorted(fields.PRESENCE))), negated=st.booleans()
)
LIKE = st.builds(Condition, NAMES, st.just("like"), once(patterns()))
BOUNDS = st.floats(-1e6, 1e6).map(lambda value: value or 0.0)
SCORES = st.one_of(
    st.builds(ScoreBound, TEXT, below=BOUNDS, above=st.none() | BOUNDS),
    st.builds(ScoreBound, TEXT, labels=once(TEXT)),
    st.builds(ScoreBound, TEXT, at_least=BOUNDS, negated=st.just(True)),
    st.builds(ScoreBound, st.just("") | TEXT, exists=st.just(True), negated=st.booleans()),
)
NS = st.none() | st.integers(0, 2**53)
FILTERS = st.builds(
    SpanFilter,
    range=st.just(HOUR),
    service=st.just(()) | once(st.just("") | TEXT),
    model=st.just(()) | once(TEXT),
    status=st.just(()) | once(st.sampled_from(fields.STATUSES)),
    tag=st.just(()) | once(TEXT),
    min_duration_ns=NS,
    max_duration_ns=NS,
    text=st.just("") | WORD,
    scores=st.lists(SCORES, max_size=3, unique_by=lambda score: score.name).map(tuple),
    conditions=st.tuples(
        st.lists(LIKE, max_size=2, unique_by=lambda condition: condition.field),
        st.lists(NEGATED | SIZED | PRESENT, max_size=4, unique=True),
    ).map(lambda pair: (*pair[0], *pair[1])),
).filter(
    lambda chosen: not {each.field for each in chosen.conditions if not each.negated} & {"service", "model", "tag"}
)


# A whole filter is a lot to make up while eight others use the machine.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(FILTERS)
def test_what_is_written_reads_as_the_same_filter(chosen: SpanFilter) -> None:
    assert language.parse(language.format(chosen), HOUR) == chosen


@given(st.text(max_size=60) | st.text('model:gpt-4*,"-<>=.score$2s \\', max_size=30))
def test_any_text_is_a_filter_or_an_error_that_says_where(text: str) -> None:
    try:
        chosen = language.parse(text, HOUR)
    except FilterTextError as refused:
        error = refused
    else:
        assert language.parse(language.format(chosen), HOUR) == chosen
        return
    assert 1 <= error.position <= len(text) + 1
    assert error.message.startswith(f"at character {error.position}: ")


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("", {}),
        ("model:gpt-4o", {"model": ("gpt-4o",)}),
        ("model:a,b model:c model:a", {"model": ("a", "b", "c")}),
        ("env=prod version:1", {"environment": ("prod",), "release": ("1",)}),
        ("latency>=1.5s duration<=2m", {"min_duration_ns": 1_500_000_000, "max_duration_ns": 120 * SECOND}),
        ("latency>2s", {"conditions": (Condition("latency", ">", numbers=(2e9,)),)}),
        ("latency:>2s", {"conditions": (Condition("latency", ">", numbers=(2e9,)),)}),
        (
            "tokens>8k cost<$0.05",
            {"conditions": (Condition("tokens", ">", numbers=(8e3,)), Condition("cost", "<", numbers=(0.05,)))},
        ),
        ("model!=gpt-4o", {"conditions": (Condition("model", "is", ("gpt-4o",), negated=True),)}),
        ("-model:gpt-4*", {"conditions": (Condition("model", "like", ("gpt-4*",), negated=True),)}),
        (r"model:gpt-4*,a\*b", {"conditions": (Condition("model", "like", ("gpt-4*", r"a\*b")),)}),
        ('model:"gpt*"', {"model": ("gpt*",)}),
        ('refund "late delivery"', {"text": "refund late delivery"}),
        ("score.g<0.5", {"scores": (ScoreBound("g", below=0.5),)}),
        ("score.g>=0.2 score.g<0.5", {"scores": (ScoreBound("g", below=0.5, at_least=0.2),)}),
        ("has:score has:score.g", {"scores": (ScoreBound("", exists=True), ScoreBound("g", exists=True))}),
        ("attributes.region:eu", {"conditions": (Condition("attributes.region", "is", ("eu",)),)}),
        ('resource."a key">=3', {"conditions": (Condition("resource.a key", ">=", numbers=(3.0,)),)}),
        ("trace:ABCDEF", {"conditions": (Condition("trace", "is", ("abcdef",)),)}),
        ('user:""', {"user": ("",)}),
    ],
)
def test_a_text_is_read_as_it_says(text: str, chosen: dict[str, Any]) -> None:
    assert language.parse(text, HOUR) == spans_in_hour(**chosen)


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("modle:gpt-4o", 1, "did you mean model?"),
        ("status:error modle:x", 14, "did you mean model?"),
        ("-latencey>2s", 1, "did you mean latency?"),
        ("status:eror", 8, "did you mean status:error?"),
        ("latency>2", 9, "needs a number and a unit, such as 2s"),
        ("latency>fast", 9, "needs a number and a unit"),
        ("tokens>8s", 8, "needs a number, such as 500 or 8k"),
        ("model>3", 1, "model is no number; write model:value"),
        ("model:", 7, 'for an empty one write model:""'),
        ('"refund', 1, "never closed"),
        ("model:a OR model:b", 9, "alternatives are model:a,b"),
        ("- status:error", 1, "a minus needs a condition right after it"),
        ("score<0.5", 1, "name the score, such as score.groundedness<0.5"),
        ("attributes:x", 1, "name the key, such as attributes.region:eu"),
        ("has:scroe", 5, "did you mean has:score?"),
        ("https://example.org", 1, "put them in quotes"),
        ("?", 1, "needs a letter or a digit"),
        ('model:"a"b', 10, "put a space before the next condition"),
        ("x " * 3_000, 4_001, "may have 4000 characters"),
        ("model:" + ",".join(map(str, range(101))), 1, "at most 100 times"),
    ],
)
def test_a_mistake_is_answered_with_its_place_and_what_to_do(text: str, position: int, said: str) -> None:
    with pytest.raises(InvalidFilterError, match=re.escape(said)) as raised:
        language.parse(text, HOUR)
    assert raised.value.position == position


Row = dict[str, Any]
# Of each text an independent reading in Python, over the rows as they were sent.
READINGS: dict[str, Callable[[Row], bool]] = {
    "model:gpt-4o": lambda row: row["model"] == "gpt-4o",
    "model:gpt-4*": lambda row: row["model"].startswith("gpt-4"),
    r"model:g_t-4%": lambda row: False,
    "model:gpt-4o,claude-3": lambda row: row["model"] in {"gpt-4o", "claude-3"},
    "latency>2s": lambda row: row["duration_ns"] is not None and row["duration_ns"] > 2 * SECOND,
    "latency>=2s latency<3s": lambda row: row["duration_ns"] is not None and 2 <= row["duration_ns"] / SECOND < 3,
    "ttft<=500ms": lambda row: row["ttft_ns"] is not None and row["ttft_ns"] <= 500_000_000,
    "tokens>100": lambda row: (
        (row["input_tokens"], row["output_tokens"]) != (None, None)
        and (row["input_tokens"] or 0) + (row["output_tokens"] or 0) > 100
    ),
    "input_tokens:10,20": lambda row: row["input_tokens"] in {10, 20},
    "output_tokens>=0": lambda row: row["output_tokens"] is not None,
    "cost>$0.01": lambda row: row["cost"] is not None and row["cost"] > Decimal("0.01"),
    "cost:0.01": lambda row: row["cost"] == Decimal("0.01"),
    "tpot>100ms": lambda row: (
        (row["output_tokens"] or 0) > 1
        and None not in (row["ttft_ns"], row["duration_ns"])
        and row["duration_ns"] >= row["ttft_ns"]
        and (row["duration_ns"] - row["ttft_ns"]) / (row["output_tokens"] - 1) > 100_000_000
    ),
    "status:error kind:llm": lambda row: (row["status"], row["kind"]) == ("error", "llm"),
    "tag:beta": lambda row: "beta" in row["tags"],
    "tag:be*,gamma": lambda row: any(tag.startswith("be") or tag == "gamma" for tag in row["tags"]),
    "session:s1 user:u1": lambda row: (row["session_id"], row["user_id"]) == ("s1", "u1"),
    'user:""': lambda row: row["user_id"] == "",
    "prompt:answer prompt_version:2": lambda row: (row["prompt_name"], row["prompt_version"]) == ("answer", "2"),
    "attributes.region:eu,us": lambda row: row["attributes"].get("region") in {"eu", "us"},
    "attributes.region:e*": lambda row: row["attributes"].get("region", "").startswith("e"),
    "attributes.temperature>0.5": lambda row: float(row["attributes"].get("temperature", -1)) > 0.5,
    'attributes."odd key\'":x': lambda row: row["attributes"].get("odd key'") == "x",
    "request.temperature>0.5": lambda row: float(row["request"].get("temperature", -1)) > 0.5,
    "request.temperature:0.7": lambda row: row["request"].get("temperature") == "0.7",
    "request.seed:42": lambda row: row["request"].get("seed") == "42",
    "response.service_tier:fl*": lambda row: row["response"].get("service_tier", "").startswith("fl"),
    "has:session,cost": lambda row: bool(row["session_id"]) or row["cost"] is not None,
    "has:tag has:ttft": lambda row: bool(row["tags"]) and row["ttft_ns"] is not None,
    "refund": lambda row: "refund" in row["input"].split(),
    '"late refund"': lambda row: {"late", "refund"} <= set(row["input"].split()),
    'release:"1\'; DROP TABLE spans; --"': lambda row: row["release"] == "1'; DROP TABLE spans; --",
}


@pytest.fixture(scope="module")
def world(store: str) -> tuple[int, list[Row]]:
    """300 spans with every field somewhere, and some of them said by nobody."""
    chance = random.Random(11)
    rows = []
    for number in range(300):
        ttft = chance.choice([None, 100_000_000, 500_000_000, SECOND])
        row = llm(
            new_trace_id(),
            number * 11,
            model=chance.choice(["gpt-4o", "gpt-4o-mini", "claude-3", ""]),
            kind=chance.choice(["llm", "tool"]),
            status=chance.choice(["ok", "error", "unset"]),
            duration_ns=chance.choice([None, SECOND, 2 * SECOND, 2 * SECOND + 1, 3 * SECOND]),
            ttft_ns=ttft,
            input_tokens=chance.choice([None, 0, 10, 20, 2**31]),
            output_tokens=chance.choice([None, 0, 1, 11, 100]),
            cost=chance.choice([None, Decimal("0.01"), Decimal("0.010000000001"), Decimal(3)]),
            tags=chance.choice([[], ["beta"], ["bet", "x"], ["gamma"]]),
            session_id=chance.choice(["", "s1", "s2"]),
            user_id=chance.choice(["", "u1"]),
            release=chance.choice(["1", "1'; DROP TABLE spans; --"]),
            input=chance.choice(["", "a late refund", "refund", "refunds late"]),
            attributes=chance.choice(
                [{}, {"region": "eu"}, {"region": "us", "temperature": "0.7"}, {"temperature": "0.5", "odd key'": "x"}]
            ),
        )
        row |= {
            "request": chance.choice([{}, {"temperature": "0.7"}, {"temperature": "0", "seed": "42"}]),
            "response": chance.choice([{}, {"service_tier": "flex"}]),
        }
        row |= {"prompt_name": chance.choice(["", "answer"]), "prompt_version": chance.choice(["1", "2"])}
        rows.append(row)
    project_id = random.SystemRandom().randrange(2**30, 2**31)
    store_spans(project_id, *rows)
    return project_id, rows


def picked(project_id: int, text: str) -> list[str]:
    found = list_spans(project_id, language.parse(text, HOUR), limit=1_000).items
    return sorted(row.span_id for row in found)


@pytest.mark.parametrize("text", READINGS)
def test_a_filter_picks_what_it_says_and_its_negation_the_rest(world: tuple[int, list[Row]], text: str) -> None:
    project_id, rows = world
    expected = sorted(row["span_id"] for row in rows if READINGS[text](row))
    assert picked(project_id, text) == expected
    if " " not in text and not text.startswith("refund"):
        others = sorted({row["span_id"] for row in rows} - set(expected))
        assert picked(project_id, "-" + text) == others


def test_words_that_must_not_stand_there_are_looked_for_in_both_texts(world: tuple[int, list[Row]]) -> None:
    project_id, rows = world
    assert picked(project_id, "-refund") == sorted(
        row["span_id"] for row in rows if "refund" not in row["input"].split()
    )


def test_every_example_of_the_table_is_a_question_that_the_store_answers(world: tuple[int, list[Row]]) -> None:
    project_id, _ = world
    for field in fields.FIELDS:
        picked(project_id, field.example)
    for name in fields.PRESENCE:
        picked(project_id, f"has:{name}")


def test_the_number_of_matching_spans_is_that_of_plain_sql(world: tuple[int, list[Row]]) -> None:
    project_id, _ = world
    [counted] = plain(
        project_id,
        "SELECT count() AS n FROM spans WHERE {mine} AND model LIKE 'gpt-4%' AND duration_ns > 1500000000"
        " AND NOT status = 'error' AND attributes['region'] != ''",
    )
    found = picked(project_id, 'model:gpt-4* latency>1.5s -status:error -attributes.region:""')
    assert len(found) == counted["n"] > 0


def test_bounds_and_labels_of_scores_speak_of_the_trace(store: str, project_id: int) -> None:
    ids = [new_trace_id() for _ in range(4)]
    store_spans(project_id, *(span(trace_id, number) for number, trace_id in enumerate(ids)))
    given = [(0, 0.2, "low"), (1, 0.5, "mid"), (2, None, "unscored")]
    judged = [
        Score(score_id="s", trace_id=ids[n], time_ns=at(n), name="g", value=value, label=label, source="api")
        for n, value, label in given
    ]
    scores.write_scores(project_id, judged, 90)
    expected = {
        "score.g<0.5": {0},
        "score.g<=0.5": {0, 1},
        "score.g>0.2": {1},
        "score.g:0.5": {1},
        "score.g:low,unscored": {0, 2},
        "-score.g<0.5": {1, 2, 3},
        "has:score.g": {0, 1, 2},
        "-has:score": {3},
        "score.other>0": set(),
    }
    for text, places in expected.items():
        found = {row.trace_id for row in list_traces(project_id, language.parse(text, HOUR)).items}
        assert found == {ids[place] for place in places}, text


def test_a_bare_latency_and_a_negation_speak_of_the_request_and_a_model_of_its_call(
    store: str, project_id: int
) -> None:
    slow_call, slow_request = new_trace_id(), new_trace_id()
    store_spans(
        project_id,
        span(slow_call, 1, duration_ns=SECOND),
        llm(slow_call, 1, duration_ns=9 * SECOND),
        span(slow_request, 2, duration_ns=9 * SECOND, status="error"),
        llm(slow_request, 2, duration_ns=SECOND),
    )
    listed = lambda text: [row.trace_id for row in list_traces(project_id, language.parse(text, HOUR)).items]  # noqa: E731
    assert listed("latency>5s") == [slow_request]
    assert listed("model:gpt-4o latency>5s") == [slow_call]
    assert listed("-status:error") == [slow_call]


def test_the_document_is_the_table_of_fields() -> None:
    document = Path(__file__).parents[2] / "docs/filters.md"
    command = "python -m heliograph.query.filter_document > docs/filters.md"
    assert document.read_text(encoding="utf-8") == "\n".join(filter_document.lines()) + "\n", command
