"""Sessions, data sets, experiments, `evaluate` and `gate` from the terminal."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from heliograph.accounts.models import Project
from heliograph.cli import gate
from heliograph.datasets import tasks
from heliograph.datasets.models import Dataset, Experiment
from heliograph.sdk.evaluation import Evaluation
from tests.cli.conftest import Cli, Receiver
from tests.datasets.conftest import put, row
from tests.query.rows import START, new_trace_id, span, store_spans

SINCE = ("--since", START.isoformat())
FUNCTION = "def upper(input):\n    return input.upper()\n"


def test_a_session_is_listed_and_shown_as_a_conversation(cli: Cli, stranger: Cli, project: Project) -> None:
    store_spans(project.pk, span(new_trace_id(), 1, session_id="s-1", user_id="alice", input="Hi", output="Hello"))
    (found,) = cli.json("sessions", "list", *SINCE)
    assert (found["id"], found["traces"]) == ("s-1", 1)
    assert "s-1" in cli("sessions", "list", *SINCE).stdout
    assert "Hello" in cli("sessions", "get", "s-1", *SINCE).stdout
    assert stranger.json("sessions", "list", *SINCE) == []
    assert "no such session" in stranger("sessions", "get", "s-1", *SINCE, code=3).output


def test_a_data_set_is_filled_from_traces_and_is_its_projects_own(cli: Cli, stranger: Cli, project: Project) -> None:
    trace_ids = [new_trace_id() for _ in range(3)]
    store_spans(
        project.pk, *(span(each, 1, input=text, output="A") for each, text in zip(trace_ids, "abc", strict=True))
    )
    cli("datasets", "create", "letters")
    cli("datasets", "add-traces", "letters", *trace_ids)
    rows = cli.json("datasets", "rows", "letters")
    assert sorted(row["input"] for row in rows) == ["a", "b", "c"]
    assert "no data set" in stranger("datasets", "rows", "letters", code=2).output


@pytest.mark.parametrize(
    ("mean", "failed", "code", "said"),
    [
        (0.9, 0, 0, "exact_match: 0.9"),
        (0.4, 0, 1, "FAIL  exact_match is 0.4, less than 0.5"),
        (None, 0, 1, "FAIL  exact_match is unknown, less than 0.5"),
        (0.9, 1, 1, "FAIL  1 rows failed"),
    ],
)
def test_evaluate_fails_the_build_below_a_bound_and_says_by_what(
    offline: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mean: float | None,
    failed: int,
    code: int,
    said: str,
) -> None:
    asked: dict[str, Any] = {}

    def ended(dataset: str, function: Any, **options: Any) -> Evaluation:
        asked.update(options, dataset=dataset, answer=function("a"))
        return Evaluation(1, "one", "http://page", "done", 3, failed, {"exact_match": mean})

    module = importlib.import_module("heliograph.cli.evaluate")
    monkeypatch.setattr(module, "evaluate", ended)
    (tmp_path / "cli_functions.py").write_text(FUNCTION, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    given = ("evaluate", "letters", "cli_functions:upper", "--evaluator", "exact_match", "--min", "exact_match=0.5")
    assert said in offline(*given, code=code).stdout
    assert (asked["dataset"], asked["answer"], asked["evaluators"]) == ("letters", "A", ("exact_match",))
    assert (asked["web_address"], asked["api_key"]) == ("http://127.0.0.1:9", "hg_none")
    assert "cannot be imported" in offline("evaluate", "letters", "no_such:thing", code=2).output


def test_evaluate_runs_a_data_set_through_a_function_and_keeps_the_experiment(
    cli: Cli, stranger: Cli, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(Dataset.objects.create(project=project, name="refunds"), row("1"), row("2"))
    monkeypatch.setattr("heliograph.datasets.queue.wake_worker", tasks.work_off)  # who wakes the worker does its work
    monkeypatch.setattr("heliograph.sdk.evaluation.POLL_S", 0.02)
    text = (
        "def answer(input):\n    return input.replace('question', 'answer')\n\n\ndef echo(input):\n    return input\n"
    )
    (tmp_path / "cli_answers.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    judged = ("--evaluator", "exact_match", "--min", "exact_match=0.9")
    found = cli.json("evaluate", "refunds", "cli_answers:answer", *judged)
    assert (found["rows"], found["failed"], found["scores"], found["faults"]) == (2, 0, {"exact_match": 1.0}, [])
    assert Experiment.objects.get().pk == found["id"]
    assert "FAIL  exact_match is 0, less" in cli("evaluate", "refunds", "cli_answers:echo", *judged, code=1).stdout
    assert "no such data set" in stranger("evaluate", "refunds", "cli_answers:answer", code=1).output


def answers(receiver: Receiver, *bodies: Any) -> None:
    receiver.answers = [(200, {"content-type": "application/json"}, json.dumps(body).encode()) for body in bodies]


@pytest.mark.parametrize(
    ("verdict", "code", "said"),
    [
        ("pass", 0, "PASS"),
        ("fail", 1, "FAIL  worse than the baseline: latency; p below 0.05"),
        ("not_enough_data", 5, "NOT ENOUGH DATA  p below 0.05"),
    ],
)
def test_a_gate_ends_the_build_with_its_reason(
    receiver: Receiver, offline: Cli, monkeypatch: pytest.MonkeyPatch, verdict: str, code: int, said: str
) -> None:
    monkeypatch.setattr(gate.time, "sleep", lambda _: None)
    metrics = {"latency": {"verdict": verdict, "p_value": 0.01}, "errors": {"verdict": "pass", "p_value": 0.5}}
    result = {"verdict": verdict, "reason": "" if verdict == "pass" else "p below 0.05", "metrics": metrics}
    gates = {"items": [{"id": 7, "name": "release"}], "next_cursor": None}
    run = {"id": 3, "status": "queued", "result": None, "error": ""}
    answers(receiver, gates, run, {**run, "status": "running"}, {**run, "status": "done", "result": result})
    assert said in offline("gate", "run", "release", "--url", receiver.url, code=code).stdout
    assert [path.split("?")[0].removeprefix("/api/v1/") for path, _ in receiver.asked] == [
        "gates",
        "gates/7/runs",
        "gates/7/runs/3",
        "gates/7/runs/3",
    ]
    answers(receiver, result)
    given = ("gate", "verdict", "7", "--url", receiver.url, "--allow-not-enough-data", "--json")
    assert json.loads(offline(*given, code=code % 5).stdout) == result


def test_a_gate_that_cannot_run_or_does_not_exist_says_so(receiver: Receiver, offline: Cli) -> None:
    answers(receiver, {"id": 3, "status": "failed", "result": None, "error": "the store was away"})
    assert "the store was away" in offline("gate", "run", "7", "--url", receiver.url, code=1).output
    answers(receiver, {"items": [{"id": 7, "name": "release"}], "next_cursor": None})
    assert "There are: release" in offline("gate", "run", "relaese", "--url", receiver.url, code=2).output
