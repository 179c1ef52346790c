"""What each recorded library sent means what its program did: see `recording/`, a file a sender.

The expectations are read off the programs and the stubs, not off the code: each call to the stubs takes 120 tokens in,
64 of them from a cache, and gives 45 out, 17 of them reasoning (OpenAI's only).
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from collectors.otlp.limits import Limits
from collectors.otlp.traces import decode
from tests.collectors.build import rows

pytestmark = pytest.mark.usefixtures("decoder")

RECORDED = Path(__file__).parent / "recorded"
# A little after the recordings.
NOW = 1_795_950_000_000_000_000
OPENAI = ("gpt-4o", "gpt-4o-2024-08-06")
CLAUDE = ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929")
SYSTEM = ("system", "Answer in one sentence.")
QUESTION = ("user", "What is the capital of France?")
ANSWER = "Paris is the capital of France."
CALL = {"name": "get_weather", "arguments": {"city": "Paris"}}
# USD of one call at the prices of the recordings' day: 56 in + 64 cached + 45 out.
OPENAI_USD, CLAUDE_USD = Decimal("0.00067"), Decimal("0.0008622")
# Of a sender that does not say that 64 of the 120 were cached.
UNCACHED_USD = Decimal("0.00075")


@dataclass(frozen=True)
class Sender:
    """What is expected of a sender's recording; None where the library does not send it."""

    dialect: str
    models: tuple[str, str] = OPENAI
    provider: str = "openai"
    # Counts of spans by kind; calls that failed are llm too.
    kinds: dict[str, int] = field(default_factory=dict)
    # Of each call: (input, output, cache read, reasoning).
    usage: tuple[int | None, ...] = (120, 45, 64, 17)
    usd: Decimal | None = OPENAI_USD
    # The whole recording: each call to the stub once, whatever repeats it.
    total_tokens: tuple[int, int] = (0, 0)
    reported_usd: Decimal | None = None
    session: str = "session-7"
    user: str = "user-3"
    tags: tuple[str, ...] = ()
    error_type: str = ""
    finish: tuple[str, ...] = ()
    documents: int = 0


SENDERS = {
    "anthropic_openinference": Sender(
        "openinference",
        CLAUDE,
        "anthropic",
        # Each call is told twice: the SDK has spans of its own, within the instrumentation's.
        {"other": 1, "llm": 10},
        (120, 45, 64, None),
        CLAUDE_USD,
        (4 * 120, 4 * 45),
        error_type="anthropic.InternalServerError",
        finish=("end_turn", "tool_use"),
    ),
    "anthropic_traceloop": Sender(
        "otel_genai",
        CLAUDE,
        "anthropic",
        # As above, but the SDK's spans stand beside the instrumentation's, with the same response ids.
        {"other": 1, "llm": 10},
        (120, 45, 64, None),
        CLAUDE_USD,
        (4 * 120, 4 * 45),
        session="",
        user="",
        error_type="InternalServerError",
        finish=("stop", "tool_call"),
    ),
    "langchain_openinference": Sender(
        "openinference",
        kinds={"chain": 7, "retriever": 1, "prompt": 1, "llm": 5, "agent": 1, "tool": 1},
        total_tokens=(4 * 120, 4 * 45),
        error_type="langchain_openai.chat_models.base.OpenAIAPIError",
        finish=("stop", "tool_calls"),
        documents=2,
    ),
    "langchain_traceloop": Sender(
        "otel_genai",
        kinds={"chain": 9, "retriever": 1, "llm": 5, "agent": 2, "tool": 1},
        usage=(120, 45, 64, None),
        total_tokens=(4 * 120, 4 * 45),
        error_type="OpenAIAPIError",
        finish=("stop", "tool_call"),
        documents=2,
    ),
    "langfuse": Sender(
        "langfuse",
        # The wrapper's last word on the model is the answered one, and it names no provider.
        ("", "gpt-4o-2024-08-06"),
        "",
        {"chain": 1, "retriever": 1, "llm": 6, "agent": 1, "tool": 1},
        # And the program's own generation: 10 in, 6 cached beside them, 4 out.
        total_tokens=(4 * 120 + 16, 4 * 45 + 4),
        tags=("recorded",),
        finish=("", "stop"),
        documents=2,
    ),
    "langsmith": Sender(
        "langsmith",
        kinds={"chain": 1, "retriever": 1, "llm": 5, "tool": 1},
        total_tokens=(4 * 120, 4 * 45),
        user="",
        tags=("recorded",),
        # Its error is a text without a type.
        error_type="Exception",
        finish=("stop", "tool_calls"),
        documents=2,
    ),
    "litellm": Sender(
        "otel_genai",
        kinds={"llm": 5, "embedding": 1, "other": 5},
        total_tokens=(4 * 120 + 8, 4 * 45),
        reported_usd=OPENAI_USD,
        # The library keeps its metadata to itself unless its proxy runs.
        session="",
        error_type="InternalServerError",
        finish=("stop", "tool_calls"),
    ),
    "llama_index": Sender(
        "openinference",
        # It never names the answered model.
        ("gpt-4o", "gpt-4o"),
        kinds={"llm": 8, "embedding": 3, "retriever": 2, "tool": 1, "chain": 22},
        # A prediction names no finish reason, and the call within it does.
        # It does not ask for the usage of streams, which all its calls but one are.
        total_tokens=(120, 45),
        error_type="openai.InternalServerError",
        finish=("", "stop", "tool_calls"),
        documents=2,
    ),
    "mlflow": Sender(
        "mlflow",
        provider="",
        kinds={"other": 1, "retriever": 1, "llm": 5, "agent": 1, "tool": 1, "embedding": 1},
        usage=(120, 45, 64, None),
        total_tokens=(4 * 120, 4 * 45),
        # A trace's session and user are of MLflow's own store and not on its spans.
        session="",
        user="",
        error_type="InternalServerError",
        finish=("stop", "tool_calls"),
        documents=2,
    ),
    "openlit": Sender(
        "otel_genai",
        kinds={"other": 1, "llm": 5, "embedding": 1},
        usage=(120, 45, 64, None),
        total_tokens=(4 * 120 + 8, 4 * 45),
        # Without the internet it has no list of prices, and says 0.
        reported_usd=Decimal(0),
        session="",
        error_type="InternalServerError",
        finish=("stop", "tool_calls"),
    ),
    "pydantic_ai": Sender(
        "otel_genai",
        kinds={"agent": 3, "llm": 4, "tool": 1},
        total_tokens=(3 * 120, 3 * 45),
        reported_usd=OPENAI_USD,
        # Each run has a conversation id of its own, and the library knows no users.
        session="*",
        user="",
        error_type="pydantic_ai.exceptions.ModelServerError",
        finish=("stop", "tool_call"),
    ),
    "smolagents": Sender(
        "openinference",
        ("gpt-4o", "gpt-4o"),
        # Two turns, each a step; the agent repeats the sum of both calls.
        kinds={"agent": 1, "chain": 2, "llm": 2, "tool": 2},
        usage=(120, 45, None, None),
        usd=UNCACHED_USD,
        total_tokens=(2 * 120, 2 * 45),
        finish=("",),
    ),
    "traceloop": Sender(
        "otel_genai",
        kinds={"chain": 2, "agent": 1, "llm": 5, "tool": 1, "embedding": 1},
        total_tokens=(4 * 120 + 8, 4 * 45),
        error_type="InternalServerError",
        finish=("stop", "tool_call"),
    ),
    "vercel_ai": Sender(
        "vercel",
        # Of each call the outer span repeats the usage, and of the steps the sum.
        kinds={"chain": 5, "llm": 5, "tool": 1, "embedding": 1},
        total_tokens=(4 * 120 + 8, 4 * 45),
        tags=("recorded",),
        error_type="AI_APICallError",
        finish=("stop", "tool-calls"),
    ),
}


def spans_of(sender: str) -> list[dict[str, Any]]:
    body = gzip.decompress((RECORDED / f"{sender}.traces.bin.gz").read_bytes())
    decoded = decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert not decoded.rejected
    return sorted(rows(decoded.columns), key=lambda row: row["start_time"])


@pytest.fixture(params=SENDERS)
def sender(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def calls_of(sender: str) -> list[dict[str, Any]]:
    """Spans of answered calls to the chat stub, in order."""
    expected = SENDERS[sender]
    return [
        row
        for row in spans_of(sender)
        if row["kind"] == "llm"
        and row["dialect"] == expected.dialect
        and row["output"]
        # The program's own generation of Langfuse.
        and row["model"] != "in-house"
    ]


def parts(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    # What is no list of messages is some function's arguments.
    for message in json.loads(text) if text.startswith("[{") else ():
        for part in message["parts"]:
            yield message["role"], part


def test_every_recording_is_judged() -> None:
    # Coding agents: test_recorded_agents.py.
    agents = ("claude_code", "codex", "gemini_cli")
    recorded = {path.name.split(".")[0] for path in RECORDED.glob("*.traces.bin.gz")}
    assert {name for name in recorded if not name.startswith(agents)} == set(SENDERS)


def test_the_spans_are_of_the_kinds_that_the_program_made(sender: str) -> None:
    found: dict[str, int] = {}
    for row in spans_of(sender):
        found[row["kind"]] = found.get(row["kind"], 0) + 1
    assert found == SENDERS[sender].kinds


def test_each_call_has_its_models_tokens_and_cost(sender: str) -> None:
    expected = SENDERS[sender]
    calls = calls_of(sender)
    assert calls
    for row in calls:
        assert row["provider"] == expected.provider
        assert row["model_requested"] == expected.models[0]
        # Of a stream, some libraries do not read the model that answers.
        assert row["model"] in expected.models
    assert expected.models[1] in {row["model"] for row in calls}
    for row in calls:
        if sender == "anthropic_traceloop" and row["output_tokens"] == 46:
            # Of a stream, it adds the first event's count to the last one's.
            continue
        if sender == "llama_index" and row["input_tokens"] is None:
            continue
        usage = tuple(row[f"{name}_tokens"] for name in ("input", "output", "cache_read", "reasoning"))
        if sender == "traceloop" and row["ttft_ns"] is not None:
            # Of a stream, it does not say how much was reasoning.
            assert usage == (*expected.usage[:3], None)
        else:
            assert usage == expected.usage
        assert row["cost"] == expected.usd
        assert row["reported_cost"] == expected.reported_usd


def test_every_call_counts_once_whatever_repeats_it(sender: str) -> None:
    counted = [row for row in spans_of(sender) if row["usage_counted"]]
    tokens = tuple(sum(row[f"{side}_tokens"] or 0 for row in counted) for side in ("input", "output"))
    assert tokens == SENDERS[sender].total_tokens


def test_messages_in_and_out_have_roles_and_parts(sender: str) -> None:
    calls = calls_of(sender)
    said = {(role, part["content"]) for row in calls for role, part in parts(row["input"]) if part["type"] == "text"}
    answered = {part["content"] for row in calls for _, part in parts(row["output"]) if part["type"] == "text"}
    if sender == "smolagents":
        # Its prompts are its own, and its answer is the argument of a tool.
        assert {role for role, _ in said} >= {"system", "user"}
        assert any(part.get("arguments") == {"answer": ANSWER} for row in calls for _, part in parts(row["output"]))
        return
    if sender != "llama_index":
        assert SYSTEM in said
        assert QUESTION in said
    assert ANSWER in answered
    assert ANSWER in {row["output_preview"] for row in calls}
    assert {role for row in calls for role, _ in parts(row["output"])} == {"assistant"}


def test_a_tool_call_and_its_result_keep_their_shape(sender: str) -> None:
    rows_ = [row for row in spans_of(sender) if row["kind"] == "llm" and row["output"]]
    made = [
        {key: part[key] for key in ("name", "arguments")}
        for row in rows_
        if row["dialect"] == SENDERS[sender].dialect
        for _, part in parts(row["output"])
        if part["type"] == "tool_call" and part["name"] != "final_answer"
    ]
    assert made == [CALL]
    given = [part for row in rows_ for _, part in parts(row["input"]) if part["type"] == "tool_call_response"]
    # smolagents hands a tool's result over as a user's text.
    assert given or sender == "smolagents"
    for part in given:
        assert "21 degrees in Paris" in json.dumps(part["response"])


def test_a_tool_that_ran_is_a_span_with_its_name_and_result(sender: str) -> None:
    tools = [row for row in spans_of(sender) if row["kind"] == "tool" and row["tool_name"] != "final_answer"]
    if SENDERS[sender].kinds.get("tool", 0) == 0:
        assert not tools
        return
    (tool,) = tools
    # MLflow names the function, which its program decorates with another name.
    assert tool["tool_name"] == ("weather" if sender == "mlflow" else "get_weather")
    assert "Paris" in tool["input"]
    assert "21 degrees in Paris" in tool["output"]


def test_a_retriever_shows_what_it_found(sender: str) -> None:
    found = [row for row in spans_of(sender) if row["kind"] == "retriever"]
    documents = [each["content"] for row in found for each in json.loads(row["documents"] or "[]")]
    assert len(documents) == SENDERS[sender].documents
    if found:
        assert sorted(documents) == ["Lyon lies on the Rhone.", "Paris is the capital of France."]


def test_session_user_and_tags_are_the_programs(sender: str) -> None:
    expected = SENDERS[sender]
    sessions = {row["session_id"] for row in calls_of(sender)}
    if expected.session == "*":
        assert len(sessions) == 2
        assert "" not in sessions
    else:
        assert sessions == {expected.session}
    assert expected.user in {row["user_id"] for row in calls_of(sender)}
    assert {tuple(row["tags"]) for row in calls_of(sender)} == {expected.tags}


def test_the_call_that_failed_says_so(sender: str) -> None:
    failed = [row for row in spans_of(sender) if row["status"] == "error" and row["kind"] == "llm"]
    if sender == "smolagents":
        assert not failed
        return
    assert failed
    own = [row for row in failed if row["dialect"] == SENDERS[sender].dialect and row["status_message"]]
    assert own
    for row in own:
        assert "The stub was asked to fail" in row["status_message"]
        assert row["error_type"] == SENDERS[sender].error_type
        assert row["input_tokens"] is None
        assert row["cost"] is None
        assert row["output"] == ""


def test_finish_reasons_are_the_senders(sender: str) -> None:
    assert {row["finish_reason"] for row in calls_of(sender)} == set(SENDERS[sender].finish)


def test_the_first_call_says_what_was_asked_for(sender: str) -> None:
    """Each program asks its first model for a temperature or, of Anthropic, for at most so many tokens."""
    asked = calls_of(sender)[0]["request"]
    if sender in ("llama_index", "pydantic_ai", "smolagents"):
        assert "temperature" not in asked, "it was not told a temperature"
    else:
        wanted = {"max_tokens": "100"} if sender.startswith("anthropic") else {"temperature": "0.5"}
        assert asked.items() >= wanted.items()


def test_the_tools_that_a_model_could_call_are_named(sender: str) -> None:
    tools = {tool["name"] for row in calls_of(sender) if row["tools"] for tool in json.loads(row["tools"])}
    # Langfuse keeps them in the input, LangSmith in its own client, OpenLIT does not send them.
    assert ("get_weather" in tools) == (sender not in ("langfuse", "langsmith", "openlit"))


def test_the_first_token_of_a_stream_lies_within_the_call(sender: str) -> None:
    streamed = [row for row in spans_of(sender) if row["ttft_ns"] is not None]
    # The others have no such time: no event, no attribute.
    expected = {
        *("anthropic_openinference", "anthropic_traceloop", "langfuse", "llama_index", "openlit", "pydantic_ai"),
        *("traceloop", "vercel_ai"),
    }
    assert bool(streamed) == (sender in expected)
    for row in streamed:
        assert row["ttft_ns"] > 0
        # LlamaIndex ends a stream's span when it hands the stream over.
        assert row["ttft_ns"] <= row["duration_ns"] or sender == "llama_index"


def test_what_langfuse_was_told_of_tokens_and_cost_is_kept_beside_what_is_computed() -> None:
    (row,) = [row for row in spans_of("langfuse") if row["name"] == "priced"]
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"]) == (16, 6, 4)
    assert (row["reported_cost"], row["cost"], row["cost_note"]) == (Decimal("0.75"), None, "unknown model")


def test_nothing_of_the_machine_is_left_in_a_recording() -> None:
    # Whoever records: folders of people and of temporary files, and that of this checkout.
    machine = [b"/tmp/", b"/root", b"/home/", str(Path(__file__).parents[2]).encode(), b"simple/"]
    for path in RECORDED.glob("*.gz"):
        # Gemini CLI has a folder of that name below its own.
        data = gzip.decompress(path.read_bytes()).replace(b".gemini/tmp/", b"")
        assert path.stat().st_size < 60_000
        for word in machine:
            assert word not in data, f"{path.name} names {word!r}"
