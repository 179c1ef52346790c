"""Prompt versions: each figure against plain Python over the rows that were stored, and what their texts say."""

import random
import statistics
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from heliograph.query import prompts
from heliograph.query.filters import InvalidFilterError
from heliograph.query.scores import Score, write_scores
from tests.query.rows import HOUR, SECOND, at, llm, new_trace_id, span, store_spans

pytestmark = pytest.mark.usefixtures("store")


def call(version: str, seconds: float, name: str = "refunds", **fields: Any) -> dict[str, Any]:
    usual = {"prompt_name": name, "prompt_version": version, "input_tokens": 10, "output_tokens": 5}
    return llm(new_trace_id(), seconds, **(usual | {"cost": Decimal("0.01"), "parent_span_id": ""} | fields))


def test_each_figure_of_a_version_is_that_of_its_calls(project_id: int) -> None:
    rng = random.Random(1)
    stored: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number in range(60):
        version = rng.choice(["1", "2", ""])
        fields: dict[str, Any] = {"duration_ns": rng.randrange(1, 50) * SECOND, "input_tokens": rng.randrange(500)}
        fields |= {"cost": Decimal(rng.randrange(100)) / 1000, "status": "error" if number % 11 == 0 else "ok"}
        stored[version].append(call(version, number * 30, **fields))
    unpriced = call("2", 10, cost=None)
    stored["2"].append(unpriced)
    # What names no prompt, or another, is in none of it.
    others = [call("1", 5, name="other"), span(new_trace_id(), 6, prompt_name="", prompt_version="")]
    store_spans(project_id, *others, *(row for rows in stored.values() for row in rows))
    judged = [*stored["1"][:4], *stored["2"][:1]]
    on_spans = [
        Score(
            score_id="a",
            trace_id=row["trace_id"],
            span_id=row["span_id"],
            time_ns=row["start_time"],
            name="g",
            value=n / 5,
            source="api",
        )
        for n, row in enumerate(judged)
    ]
    on_trace = Score(
        score_id="b", trace_id=stored["2"][1]["trace_id"], time_ns=at(1), name="g", value=0.25, source="api"
    )
    write_scores(project_id, [*on_spans, on_trace], 90)
    expected = {"1": [0.0, 0.2, 0.4, 0.6], "2": [0.8, 0.25]}

    found = prompts.versions(project_id, "refunds", HOUR)
    firsts = [min(row["start_time"] for row in stored[one.version]) for one in found]
    assert firsts == sorted(firsts, reverse=True)
    assert {one.version for one in found} == set(stored)
    for one in found:
        rows = stored[one.version]
        assert (one.calls, one.errors) == (len(rows), sum(row["status"] == "error" for row in rows))
        assert one.input_tokens == sum(row["input_tokens"] for row in rows)
        assert one.cost == sum((row["cost"] or 0 for row in rows), Decimal(0))
        assert one.unpriced_count == sum(row["cost"] is None for row in rows)
        assert one.cost_per_call == (None if one.unpriced_count else one.cost / len(rows))
        assert one.latency_p50_ns == pytest.approx(statistics.median(row["duration_ns"] for row in rows), rel=0.15)
        values = expected.get(one.version, [])
        assert [score.scored for score in one.scores] == ([len(values)] if values else [])
        if values:
            assert one.scores[0].mean == pytest.approx(statistics.fmean(values))
            half = 1.959964 * statistics.stdev(values) / len(values) ** 0.5
            assert one.scores[0].high == pytest.approx(one.scores[0].mean + half)

    listed = prompts.list_prompts(project_id, HOUR)
    assert [(row.name, row.versions, row.calls) for row in listed.items] == [("other", 1, 1), ("refunds", 3, 61)]
    first = prompts.list_prompts(project_id, HOUR, limit=1)
    second = prompts.list_prompts(project_id, HOUR, cursor=first.next_cursor, limit=1)
    assert (first.items + second.items, second.next_cursor) == (listed.items, None)


def test_a_version_says_its_template_else_the_newest_call_s_instructions(project_id: int) -> None:
    said = '[{"role": "system", "parts": [{"type": "text", "content": "Be {mood}."}]}, {"role": "user", "parts": []}]'
    older, newer = said.replace("{mood}", "brief"), said.replace("{mood}", "kind")
    template = {"llm.prompt_template.template": "Be {{mood}}."}
    store_spans(
        project_id, call("1", 1, input=older), call("1", 2, input=newer), call("2", 3, input=older, attributes=template)
    )
    first = prompts.text_of_version(project_id, "refunds", "1", HOUR)
    second = prompts.text_of_version(project_id, "refunds", "2", HOUR)
    assert first is not None
    assert second is not None
    assert (first.text, first.is_template) == ("Be kind.", False)
    assert (second.text, second.is_template) == ("Be {{mood}}.", True)
    assert prompts.text_of_version(project_id, "refunds", "3", HOUR) is None
    seen = {row.version: row.last_seen_ns for row in prompts.versions(project_id, "refunds", HOUR)}
    for version, text in (("1", first), ("2", second)):
        at_once = prompts.text_of_version(project_id, "refunds", version, HOUR, last_seen_ns=seen[version])
        assert at_once == text
    # A call that is not there any more is looked for as without its time.
    assert prompts.text_of_version(project_id, "refunds", "1", HOUR, last_seen_ns=seen["1"] + 1) == first


def test_another_project_has_none_and_a_name_has_a_bound(project_id: int) -> None:
    store_spans(project_id, call("1", 1, input="Hi"))
    stranger = project_id + 2**31
    assert not prompts.list_prompts(stranger, HOUR).items
    assert not prompts.versions(stranger, "refunds", HOUR)
    assert prompts.text_of_version(stranger, "refunds", "1", HOUR) is None
    for name in ("", "x" * 1001):
        with pytest.raises(InvalidFilterError):
            prompts.versions(project_id, name, HOUR)
