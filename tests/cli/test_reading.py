"""Traces, spans and scores from the terminal, against a real server and store."""

import pytest

from heliograph.accounts.models import Project
from tests.cli.conftest import Cli
from tests.query.rows import START, llm, new_trace_id, span, store_spans

SINCE = ("--since", START.isoformat(), "--until", f"{START:%Y-%m-%d}T23:59:59Z")


@pytest.fixture
def trace_id(project: Project, store: str) -> str:
    trace_id = new_trace_id()
    call = llm(trace_id, 2.5, output="Hello", input_tokens=12, cost="0.000123")
    root = span(trace_id, 2, name="answer \x1b[31mred", kind="agent")
    call["parent_span_id"] = root["span_id"]
    store_spans(project.pk, root, call)
    return trace_id


def test_traces_and_spans_are_listed_with_filters_for_people_and_programs(cli: Cli, trace_id: str) -> None:
    (found,) = cli.json("traces", "list", *SINCE)
    assert found["trace_id"] == trace_id
    shown = cli("traces", "list", *SINCE).stdout
    assert trace_id in shown
    assert "\x1b" not in shown
    assert cli.json("traces", "list", *SINCE, "--status", "error") == []
    assert {each["kind"] for each in cli.json("spans", "list", *SINCE)} == {"agent", "llm"}
    (call,) = cli.json("spans", "list", *SINCE, "--kind", "llm")
    assert cli.json("spans", "get", trace_id, call["span_id"])["input_tokens"] == 12


def test_a_trace_is_shown_as_a_tree_with_its_scores(cli: Cli, trace_id: str) -> None:
    cli("scores", "add", "helpful", "0.5", "--trace", trace_id, "--explanation", "so so")
    lines = cli("traces", "get", trace_id).stdout.splitlines()
    parent = next(line for line in lines if "[agent]" in line)
    child = next(line for line in lines if "[llm]" in line)
    assert parent.index("answer") < child.index("[llm]")
    assert lines.index(parent) < lines.index(child)
    assert any("so so" in line for line in lines)
    (score,) = cli.json("scores", "list", *SINCE, "--name", "helpful")
    assert (score["value"], score["trace_id"]) == (0.5, trace_id)


def test_another_projects_key_finds_nothing_and_a_wrong_key_is_refused(cli: Cli, stranger: Cli, trace_id: str) -> None:
    assert stranger.json("traces", "list", *SINCE) == []
    assert "no such trace" in stranger("traces", "get", trace_id, code=3).output
    assert "unknown, revoked or expired" in cli("traces", "list", code=3, HELIOGRAPH_API_KEY="hg_wrong").output


def test_what_the_server_says_of_a_parameter_reaches_the_user(cli: Cli) -> None:
    assert "score: reads like groundedness<0.5" in cli("traces", "list", "--score", "x", code=3).output
