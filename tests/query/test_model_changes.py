"""What answered what was asked for, and the moments from which something else did."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from heliograph.accounts.models import ApiKey, Project
from heliograph.query import model_changes
from heliograph.query.filters import TimeRange
from tests.query.rows import START, at, llm, new_trace_id, store_spans

pytestmark = pytest.mark.usefixtures("store")
HOUR = 3_600
# Three hours from START's day before, so that the look back lies before it.
RANGE = TimeRange(START - timedelta(hours=6), START + timedelta(hours=3))


def answers(project_id: int, *calls: tuple[float, str, str], **fields: Any) -> None:
    """Store calls for gpt-4o as (seconds, model that answered, fingerprint)."""
    usual: dict[str, Any] = {"service": "shop", "model_requested": "gpt-4o"}
    rows = [
        llm(new_trace_id(), seconds, model=model, attributes={KEY: print_} if print_ else {}, **(usual | fields))
        for seconds, model, print_ in calls
    ]
    store_spans(project_id, *rows)


KEY = "gen_ai.openai.response.system_fingerprint"


def found(project_id: int, **narrowed: Any) -> list[tuple[int, str, str, str]]:
    rows = model_changes.changes(project_id, RANGE, **narrowed)
    return [(row.time_ns, row.what, row.before, row.after) for row in rows]


def test_a_model_that_begins_to_answer_is_one_change_at_its_first_call(project_id: int) -> None:
    answers(project_id, *((60 * n, "gpt-4o-2024-08-06", "") for n in range(5)))
    answers(project_id, *((600 + 60 * n, "gpt-4o-2024-11-20", "") for n in range(5)))
    assert found(project_id) == [(at(600), "model", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20")]
    [row] = model_changes.changes(project_id, RANGE)
    assert row.words == "gpt-4o: gpt-4o-2024-08-06 → gpt-4o-2024-11-20"


def test_a_new_fingerprint_of_the_same_model_is_a_change_of_fingerprint(project_id: int) -> None:
    answers(project_id, (0, "gpt-4o", "fp_a"), (60, "gpt-4o", "fp_b"))
    assert found(project_id) == [(at(60), "fingerprint", "fp_a", "fp_b")]


def test_fingerprints_that_take_turns_are_one_change_and_not_one_a_call(project_id: int) -> None:
    answers(project_id, *((60 * n, "gpt-4o", f"fp_{n % 2}") for n in range(20)))
    assert found(project_id) == [(at(60), "fingerprint", "fp_0", "fp_1")]


def test_a_return_to_what_answered_before_is_a_change(project_id: int) -> None:
    answers(project_id, (-3 * HOUR, "a", ""), (-2 * HOUR, "b", ""), (-HOUR, "b", ""), (0, "a", ""))
    assert found(project_id) == [(at(-2 * HOUR), "model", "a", "b"), (at(0), "model", "b", "a")]


def test_the_first_answer_and_the_same_one_after_a_silence_are_no_changes(project_id: int) -> None:
    answers(project_id, (-5 * HOUR, "a", ""), (0, "a", ""))
    assert found(project_id) == []


def test_what_answered_before_the_range_is_known(project_id: int) -> None:
    answers(project_id, (-30 * HOUR, "a", ""), (0, "b", ""))
    assert found(project_id) == [(at(0), "model", "a", "b")]


def test_services_and_names_asked_for_are_apart_and_failed_calls_say_nothing(project_id: int) -> None:
    answers(project_id, (0, "a", ""))
    answers(project_id, (60, "b", ""), service="search")
    answers(project_id, (120, "c", ""), model_requested="gpt-5")
    answers(project_id, (180, "gpt-4o", ""), status="error")
    assert found(project_id) == []
    answers(project_id, (240, "d", ""))
    assert found(project_id, service=("shop",)) == [(at(240), "model", "a", "d")]
    assert found(project_id, service=("search",)) == []
    assert found(project_id, model=("gpt-5",)) == []


def test_another_project_has_none_of_it(project_id: int) -> None:
    answers(project_id, (0, "a", ""), (60, "b", ""))
    assert found(project_id + 1_000_000) == []
    assert model_changes.served(project_id + 1_000_000, RANGE) == []


def test_the_api_gives_requested_against_served_and_the_changes(project: Project) -> None:
    answers(project.pk, (0, "gpt-4o-2024-08-06", "fp_a"), (60, "gpt-4o-2024-11-20", "fp_b"))
    ends = {"start": RANGE.start.isoformat(), "end": RANGE.end.isoformat()}
    caller = Client(headers={"x-api-key": ApiKey.issue(project, "test")[1]})
    body = caller.get("/api/v1/model-changes", ends).json()
    assert [(row["model_requested"], row["model"], row["fingerprint"]) for row in body["served"]] == [
        ("gpt-4o", "gpt-4o-2024-08-06", "fp_a"),
        ("gpt-4o", "gpt-4o-2024-11-20", "fp_b"),
    ]
    [change] = body["changes"]
    assert (change["what"], change["after"]) == ("model", "gpt-4o-2024-11-20")
    assert Client().get("/api/v1/model-changes").status_code == 401
