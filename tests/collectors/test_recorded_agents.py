"""What real coding agents sent, each asked a question that took two calls and its shell, is a trace with both calls
counted once: see `recording/coding_agent.mjs`. Claude Code 2.1.332, Codex CLI 0.171.0, Gemini CLI 0.61.0.

`*_traces` are recordings with the agent's own tracing on as well.
"""

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from collectors.otlp import logs, metrics, traces
from collectors.otlp.limits import Limits
from tests.collectors.build import rows
from tests.collectors.test_logs import record, request
from tests.stubs.agents_stub import COMMAND

pytestmark = pytest.mark.usefixtures("decoder")

RECORDED = Path(__file__).parent / "recorded"
AGENTS = ("claude_code", "codex", "gemini_cli")
RECORDINGS = tuple(f"{agent}{traced}" for agent in AGENTS for traced in ("", "_traces"))
# A little after the recordings.
NOW = 1_796_000_000_000_000_000
QUESTION = "What is the capital of France?"
ANSWER = "Paris is the capital of France."
MODELS = {
    "claude_code": "claude-sonnet-4-5",
    "codex": "gpt-5.1-codex",
    "gemini_cli": "gemini-2.5-pro",
}
# 120 tokens in, of them 64 from a cache, 45 out, at the prices of the recordings' day.
USD = {"claude_code": Decimal("0.0008622"), "codex": Decimal("0.000528"), "gemini_cli": Decimal("0.000528")}


def body_of(recording: str, signal: str) -> bytes:
    path = RECORDED / f"{recording}.{signal}.bin.gz"
    return gzip.decompress(path.read_bytes()) if path.exists() else b""


def log_rows(recording: str) -> list[dict[str, Any]]:
    return rows(_logs(recording).columns)


def spans_of(recording: str) -> list[dict[str, Any]]:
    """Its own spans and those made of its records, as one export: two requests joined are one, in protobuf."""
    body = body_of(recording, "traces") + _logs(recording).spans
    decoded = traces.decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert not decoded.rejected
    return rows(decoded.columns)


def made_of(recording: str) -> list[dict[str, Any]]:
    """The spans made of its records, in the order of their ends."""
    decoded = traces.decode(_logs(recording).spans, content_type="protobuf", limits=Limits(), now_ns=NOW)
    return sorted(rows(decoded.columns), key=lambda row: row["start_time"] + row["duration_ns"])


def _logs(recording: str) -> logs.DecodedLogs:
    decoded = logs.decode(body_of(recording, "logs"), content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert not decoded.rejected
    return decoded


def agent_of(recording: str) -> str:
    return recording.removesuffix("_traces")


@pytest.fixture(params=RECORDINGS)
def recording(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_recording_of_an_agent_is_judged() -> None:
    found = {path.name.split(".")[0] for path in RECORDED.glob("*.logs.bin.gz")}
    assert {name for name in found if name.startswith(AGENTS)} == set(RECORDINGS)


def test_the_records_of_a_turn_are_one_trace_with_the_prompt_two_calls_and_the_tool(recording: str) -> None:
    made = made_of(recording)
    assert len({row["trace_id"] for row in made}) == 1
    assert len({row["session_id"] for row in made} - {""}) == 1
    kinds = [row["kind"] for row in made]
    assert sorted(kinds) == sorted(["agent", "llm", "tool", "llm"] + ["chain"] * recording.startswith("codex"))
    assert {row["dialect"] for row in made} == {agent_of(recording)}
    (prompted,) = [row for row in made if row["input_preview"] == QUESTION]
    assert prompted["kind"] == ("chain" if recording.startswith("codex") else "agent")


def test_each_call_has_its_model_tokens_and_cost(recording: str) -> None:
    agent = agent_of(recording)
    calls = [row for row in made_of(recording) if row["kind"] == "llm"]
    assert len(calls) == 2
    for row in calls:
        assert row["model"] == MODELS[agent]
        assert (row["input_tokens"], row["output_tokens"], row["cache_read_tokens"]) == (120, 45, 64)
        assert row["reasoning_tokens"] == (None if agent == "claude_code" else 17)
        assert row["cost"] == USD[agent]
        assert row["reported_cost"] == (USD[agent] if agent == "claude_code" else None)


def test_the_tool_that_ran_has_its_name_and_its_arguments(recording: str) -> None:
    (tool,) = [row for row in made_of(recording) if row["kind"] == "tool"]
    names = {"claude_code": "Bash", "codex": "exec_command", "gemini_cli": "run_shell_command"}
    assert tool["tool_name"] == names[agent_of(recording)]
    assert COMMAND in json.loads(tool["input"]).values()
    # Codex alone tells in its record what the tool answered.
    assert ("21 degrees in Paris" in tool["output"]) == recording.startswith("codex")


@pytest.mark.parametrize("recording", [name for name in RECORDINGS if not name.startswith("codex")])
def test_a_call_says_what_the_model_answered(recording: str) -> None:
    _, last = [row for row in made_of(recording) if row["kind"] == "llm"]
    assert json.loads(last["output"]) == [{"role": "assistant", "parts": [{"type": "text", "content": ANSWER}]}]


@pytest.mark.parametrize("recording", [name for name in RECORDINGS if name != "codex_traces"])
def test_each_call_counts_once_whatever_else_tells_of_it(recording: str) -> None:
    counted = [row for row in spans_of(recording) if row["usage_counted"]]
    assert sum(row["input_tokens"] for row in counted) == 240
    assert sum(row["output_tokens"] for row in counted) == 90
    assert sum(row["cost"] for row in counted) == 2 * USD[agent_of(recording)]


def test_a_turn_of_codex_s_own_tracing_counts_once_with_its_model() -> None:
    body = body_of("codex_traces", "traces")
    decoded = traces.decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW)
    (turn,) = [row for row in rows(decoded.columns) if row["usage_counted"]]
    assert (turn["name"], turn["model"]) == ("session_task.turn", MODELS["codex"])
    assert (turn["input_tokens"], turn["output_tokens"], turn["cost"]) == (240, 90, 2 * USD["codex"])


def test_claude_code_s_own_spans_say_what_was_asked_and_name_each_tool_once() -> None:
    body = body_of("claude_code_traces", "traces")
    own = rows(traces.decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW).columns)
    (root,) = [row for row in own if row["kind"] == "agent"]
    assert root["input"] == QUESTION
    (tool,) = [row for row in own if row["kind"] == "tool"]
    assert (tool["tool_name"], tool["input"]) == ("Bash", COMMAND)
    calls = [row for row in own if row["kind"] == "llm"]
    assert sorted(row["finish_reason"] for row in calls) == ["end_turn", "tool_use"]
    assert all(0 < row["ttft_ns"] <= row["duration_ns"] for row in calls)


def test_the_id_of_a_turn_is_no_prompt_s_name(recording: str) -> None:
    assert {row["prompt_name"] for row in spans_of(recording)} == {""}


def test_codex_s_records_are_called_what_they_are_and_not_by_their_line_of_source() -> None:
    found = {row["event_name"] for row in log_rows("codex")}
    assert found >= {"codex.conversation_starts", "codex.user_prompt", "codex.sse_event", "codex.tool_result"}
    # Without a better name, it is what there is.
    body = request(record("", {}, event_name="event src/main.rs:1")).SerializeToString()
    (row,) = rows(logs.decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW).columns)
    assert row["event_name"] == "event src/main.rs:1"


@pytest.mark.parametrize("agent", ["claude_code", "gemini_cli"])
def test_an_agent_s_metrics_stay_metrics_of_its_own(agent: str) -> None:
    decoded = metrics.decode(body_of(agent, "metrics"), content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert not decoded.rejected
    assert f"{agent}.token.usage" in {row["metric"] for row in rows(decoded.columns)}
