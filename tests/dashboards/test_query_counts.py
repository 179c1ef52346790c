"""A page asks the store a bounded number of questions, however much it shows."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.clickhouse import client
from heliograph.query import gpu
from heliograph.query.scores import Score, write_scores
from tests.dashboards.conftest import IN_HOUR
from tests.query.rows import at, llm, new_trace_id, point, span, store_rows, store_spans

pytestmark = pytest.mark.usefixtures("store")
LIMITS = {"overview": 13, "traces": 7, "trace": 7, "trace-where": 15, "attribution": 5, "evaluations": 12}
LIMITS |= {"sessions": 5, "sessions-users": 5, "models-prompts": 1}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tags of the questions asked; they are answered as ever."""
    tags: list[str] = []
    for name in ("query", "query_columns"):
        ask = getattr(client, name)

        def spy(*arguments: Any, ask: Any = ask, **keywords: Any) -> Any:
            tags.append(keywords["tag"])
            return ask(*arguments, **keywords)

        monkeypatch.setattr(client, name, spy)
    return tags


@pytest.fixture
def trace_id(project: Project) -> str:
    """Sixty traces of three spans; the one returned has a judged answer, documents and a GPU too."""
    rows = []
    for number in range(60):
        trace = new_trace_id()
        root = span(trace, number, host="node")
        rows += [root, llm(trace, number + 0.1, parent_span_id=root["span_id"], gpu_uuids=["GPU-9"])]
        rows.append(span(trace, number, parent_span_id=root["span_id"], kind="retriever"))
    rows[-1]["documents"] = json.dumps([{"content": "Thirty days."}])
    rows[-2]["output"] = "Thirty days."
    store_spans(project.pk, *rows)
    sentence = {"start": 0, "end": 12, "probability": 0.9, "verdict": "grounded", "evidence": []}
    judged = {"trace_id": rows[-1]["trace_id"], "span_id": rows[-2]["span_id"], "source": "evaluator"}
    details = json.dumps({"sentences": [sentence]})
    write_scores(
        project.pk,
        [Score(score_id="a", time_ns=at(1), name="groundedness", value=0.9, details=details, **judged)],
        90,
    )
    # The trace's GPU reports nothing, so its host's are asked for too: the longest way.
    store_rows(project.pk, "metric_points", [point(gpu.UTILIZATION, 60, 0.5, host="node", gpu_uuid="GPU-8")])
    return str(rows[-1]["trace_id"])


@pytest.mark.parametrize("name", LIMITS)
def test_a_page_asks_few_questions(
    reader: Client, project: Project, trace_id: str, asked: list[str], name: str
) -> None:
    asked.clear()
    ids = [trace_id] if name.startswith("trace") and name != "traces" else []
    answer = reader.get(f"{reverse(name, args=[project.slug, *ids])}?{IN_HOUR}")
    assert answer.status_code == 200
    assert 0 < len(asked) <= LIMITS[name], asked


def test_a_page_with_no_time_left_for_django_asks_its_database_little(
    reader: Client, project: Project, trace_id: str, django_assert_max_num_queries: Any
) -> None:
    address = reverse("trace", args=[project.slug, trace_id])
    # The first page of some minutes notes that the session is in use.
    reader.get(address)
    with django_assert_max_num_queries(11):
        reader.get(address)
