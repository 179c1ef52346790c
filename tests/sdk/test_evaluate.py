"""`heliograph.evaluate()` and the pytest plugin against the real API over HTTP."""

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import heliograph
from heliograph.accounts.models import ApiKey, Organization, Project
from heliograph.datasets import tasks
from heliograph.datasets.models import Dataset, Experiment
from heliograph.sdk import Row
from heliograph.sdk.client import ApiError
from tests.datasets.conftest import put, row

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.usefixtures("store")]


@pytest.fixture
def dataset(transactional_db: None, project_id: int) -> Dataset:
    organization = Organization.objects.create(name="Acme")
    project = Project.objects.create(id=project_id, organization=organization, name="Shop", slug=f"shop-{project_id}")
    dataset = Dataset.objects.create(project=project, name="refunds")
    put(dataset, *(row(str(number), split="test" if number < 4 else "") for number in range(6)))
    return dataset


@pytest.fixture(autouse=True)
def server(live_server: Any, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API over HTTP; who wakes the worker does its work at once."""
    monkeypatch.setenv("HELIOGRAPH_BASE_URL", live_server.url)
    monkeypatch.setenv("HELIOGRAPH_API_KEY", ApiKey.issue(dataset.project, "ci")[1])
    monkeypatch.setattr("heliograph.datasets.queue.wake_worker", tasks.work_off)
    monkeypatch.setattr("heliograph.sdk.client.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("heliograph.sdk.evaluation.POLL_S", 0.02)


def answer(text: str) -> str:
    return text.replace("question", "answer")


def test_a_function_is_judged_by_the_servers_evaluators_and_ones_own() -> None:
    def short(output: str, row: Row) -> bool:
        return len(output) < 100 and row.expected is not None

    outcome = heliograph.evaluate(
        "refunds", answer, evaluators=["exact_match", short], split="test", metadata={"release": "2"}
    )
    assert (outcome.status, outcome.rows, outcome.failed) == ("done", 4, 0)
    assert outcome.scores == {"exact_match": 1.0, "short": 1.0}
    assert outcome.url.endswith(f"/experiments/{outcome.id}")
    assert {each["id"] for each in outcome.results()} == {"0", "1", "2", "3"}
    assert Experiment.objects.get().metadata == {"release": "2"}


def test_what_a_function_raises_is_its_rows_error_after_its_tries() -> None:
    calls: list[str] = []

    def fails(input: str, metadata: dict[str, Any]) -> str:  # noqa: A002  # as the row has it
        calls.append(input)
        if input == "question 1":
            raise ValueError("no such order")
        return answer(input)

    outcome = heliograph.evaluate("refunds", fails, evaluators=["exact_match"], attempts=2, concurrency=1)
    assert (outcome.failed, outcome.scores, calls.count("question 1"), len(calls)) == (1, {"exact_match": 1.0}, 2, 7)
    [failed] = [each for each in outcome.results() if each["status"] == "error"]
    assert failed["error"] == "ValueError: no such order"


def test_a_run_that_was_killed_goes_on_with_the_rows_that_are_left() -> None:
    calls: list[str] = []

    def dies(text: str) -> str:
        calls.append(text)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return answer(text)

    with pytest.raises(KeyboardInterrupt):
        heliograph.evaluate("refunds", dies, name="nightly", concurrency=1)
    left = Experiment.objects.get()
    assert (left.status, left.done) == ("running", 3)
    outcome = heliograph.evaluate("refunds", dies, name="nightly", concurrency=3)
    assert (outcome.id, outcome.rows, outcome.failed) == (left.pk, 6, 0)
    assert sorted(calls) == sorted([f"question {n}" for n in range(6)] + ["question 3"])


def test_each_call_is_a_span_that_names_its_run_and_row(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("heliograph.sdk.evaluation.trace.get_tracer", provider.get_tracer)
    outcome = heliograph.evaluate("refunds", answer, split="test")
    spans = {f"{span.context.trace_id:032x}": dict(span.attributes or {}) for span in exporter.get_finished_spans()}
    for result in outcome.results():
        assert spans[result["trace_id"]]["heliograph.experiment.id"] == outcome.id
        assert spans[result["trace_id"]]["heliograph.row.id"] == result["id"]


def test_calls_run_side_by_side() -> None:
    together = threading.Barrier(3, timeout=30)

    def waits(text: str) -> str:
        together.wait()
        return answer(text)

    assert heliograph.evaluate("refunds", waits, concurrency=3).failed == 0


def test_what_the_server_refuses_is_said() -> None:
    with pytest.raises(ApiError, match="no such data set"):
        heliograph.evaluate("nosuch", answer)
    with pytest.raises(ApiError, match="unknown, revoked or expired"):
        heliograph.evaluate("refunds", answer, api_key="hg_wrong")


@pytest.fixture
def ci(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    def run(source: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        # In this process: its threads reach the live server, and its database is a test's.
        # An install may have it as an entry point already.
        return pytester.runpytest_inprocess(
            "-p", "no:heliograph", "-p", "heliograph.pytest_plugin", "-p", "no:django", "-p", "no:cacheprovider"
        )

    assert os.environ["HELIOGRAPH_API_KEY"]
    return run


def test_a_test_of_a_data_set_passes(ci: Callable[..., pytest.RunResult]) -> None:
    result = ci(
        """
        import pytest

        @pytest.fixture
        def word():
            return "answer"

        @pytest.mark.heliograph("refunds", split="test", evaluators=["exact_match"], at_least={"exact_match": 0.9})
        def test_refunds(row, word):
            return row.input.replace("question", word)

        def test_other():
            assert True
        """
    )
    result.assert_outcomes(passed=2)
    assert Experiment.objects.get().metadata["test"].endswith("::test_refunds")


def test_a_test_of_a_data_set_fails_with_the_reason_and_the_worst_rows(ci: Callable[..., pytest.RunResult]) -> None:
    result = ci(
        """
        import pytest

        @pytest.mark.heliograph("refunds", evaluators=["exact_match"], at_least={"exact_match": 0.9, "nosuch": 1})
        def test_refunds(row):
            if row.id == "0":
                raise LookupError("order 0 is gone")
            return "wrong" if row.id == "2" else row.input.replace("question", "answer")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "1 of 6 rows raised; 0 may.",
            "  0: LookupError: order 0 is gone",
            "exact_match is 0.8 in the mean; 0.9 is the least.",
            "  0  2: 'wrong'; expected 'answer 2' (*",
            "nosuch has no value; the scores are exact_match.",
            "Experiment * of 6 rows: http*/experiments/*",
        ]
    )
