"""Messages of any shape become one shape; what is no message stays text."""

import json
from typing import Any

import pytest

from collectors.semconv.messages import message_of, messages_of
from tests.collectors.build import START, row_of
from tests.collectors.tables import misfits

QUESTION = {"role": "user", "parts": [{"type": "text", "content": "How many?"}]}
CANONICAL = [{"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}, QUESTION]
OPENAI = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many?"}]
CALL = {"type": "tool_call", "id": "c1", "name": "count", "arguments": {"of": "apples"}}
OPENAI_CALL = {"id": "c1", "type": "function", "function": {"name": "count", "arguments": '{"of": "apples"}'}}


def messages(row: dict[str, Any], column: str = "input") -> list[dict[str, Any]]:
    return json.loads(row[column])


@pytest.mark.parametrize(
    "value",
    [
        CANONICAL,
        OPENAI,
        json.dumps(CANONICAL),
        json.dumps(OPENAI),
        json.dumps(json.dumps(OPENAI)),
        {"messages": OPENAI},
        json.dumps({"messages": OPENAI, "model": "m"}),
        [OPENAI],
        {"system": "Be brief.", "messages": OPENAI[1:]},
        [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, OPENAI[1]],
        [{"type": "system", "data": {"content": "Be brief."}}, {"type": "human", "data": {"content": "How many?"}}],
        [
            {"lc": 1, "type": "constructor", "id": ["langchain", "SystemMessage"], "kwargs": {"content": "Be brief."}},
            {"lc": 1, "type": "constructor", "id": ["langchain", "HumanMessage"], "kwargs": {"content": "How many?"}},
        ],
        {"contents": [{"role": "user", "parts": [{"text": "How many?"}]}], "system": "Be brief."},
    ],
)
def test_structured_json_and_double_encoded_messages_are_one(value: Any) -> None:
    assert messages_of(value, "user") == CANONICAL


@pytest.mark.parametrize("value", ["How many?", "{not json", "[1, 2]", {"question": "How many?"}, [], 5, None, True])
def test_what_is_no_message_is_not_made_one(value: Any) -> None:
    assert messages_of(value, "user") is None


@pytest.mark.parametrize(
    "value",
    [
        {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]},
        {"role": "assistant", "tool_calls": [{"id": "c1", "name": "count", "arguments": {"of": "apples"}}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "count", "input": {"of": "apples"}}],
        },
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "count", "args": {"of": "apples"}}],
        },
        {"role": "assistant", "parts": [CALL]},
        {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "count", "args": {"of": "apples"}}}]},
        {"type": "function_call", "call_id": "c1", "name": "count", "arguments": '{"of": "apples"}'},
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "c1", "name": "count", "input": {"of": "apples"}}}],
        },
    ],
)
def test_tool_calls_of_any_library_are_one(value: dict[str, Any]) -> None:
    assert message_of(value, "assistant") == {"role": "assistant", "parts": [CALL]}


@pytest.mark.parametrize(
    "value",
    [
        {"role": "tool", "tool_call_id": "c1", "content": "12"},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "12"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "result": "12"}]},
        {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c1", "result": "12"}]},
        {"role": "tool", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "12"}]},
        {"type": "function_call_output", "call_id": "c1", "output": "12"},
    ],
)
def test_tool_results_of_any_library_are_one(value: dict[str, Any]) -> None:
    expected = {"type": "tool_call_response", "id": "c1", "response": "12"}
    assert message_of(value, "user") == {"role": "tool", "parts": [expected]}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "image_url", "image_url": {"url": "https://a/b.png"}}, {"type": "uri", "uri": "https://a/b.png"}),
        ({"type": "input_image", "image_url": "https://a/b.png"}, {"type": "uri", "uri": "https://a/b.png"}),
        ({"type": "image", "image": {"image": {"url": "https://a/b.png"}}}, {"type": "uri", "uri": "https://a/b.png"}),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAE="}},
            {"type": "blob", "mime_type": "image/png", "content": "AAE="},
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAE="}},
            {"type": "blob", "mime_type": "image/png", "content": "AAE="},
        ),
        (
            {"inlineData": {"mimeType": "image/png", "data": "AAE="}},
            {"type": "blob", "mime_type": "image/png", "content": "AAE="},
        ),
    ],
)
def test_images_of_any_library_are_blobs_or_uris(part: dict[str, Any], expected: dict[str, Any]) -> None:
    (made,) = message_of({"role": "user", "content": [part]}, "user")["parts"]
    assert made == {**expected, "modality": "image"}


def test_reasoning_is_a_part_of_its_own() -> None:
    for value in (
        {"role": "assistant", "reasoning_content": "hm", "content": "12"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "12"}]},
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "12"}]},
    ):
        assert message_of(value, "assistant")["parts"] == [
            {"type": "reasoning", "content": "hm"},
            {"type": "text", "content": "12"},
        ]


def test_json_cut_by_a_length_limit_gives_its_whole_messages_and_the_rest_as_text() -> None:
    text = json.dumps(OPENAI)[:-8]
    row = row_of({"gen_ai.input.messages": text})
    first, rest = messages(row)
    assert first == CANONICAL[0]
    assert rest["parts"][0]["content"].startswith('{"role": "user"')
    assert row["truncated"] == ["input"]


@pytest.mark.parametrize("depth", [50, 300, 450, 900, 5_000])
def test_a_value_nested_without_end_is_no_error(depth: int) -> None:
    deep = "[" * depth + "NaN" + "]" * depth
    call = f'[{{"role": "assistant", "parts": [{{"type": "tool_call", "name": "count", "arguments": {deep}}}]}}]'
    row = row_of({"gen_ai.output.messages": call, "gen_ai.input.messages": deep, "retrieval.documents": f"[{deep}]"})
    assert not misfits("0001_spans.sql", row)
    assert row["attributes"]["gen_ai.output.messages"] == call


def test_flat_messages_are_ordered_by_number_and_gaps_close() -> None:
    flat = {f"llm.input_messages.{at}.message.content": str(at) for at in (10, 9, 2, 0, 999_999_999)}
    row = row_of({"openinference.span.kind": "LLM", **flat})
    assert [each["parts"][0]["content"] for each in messages(row)] == ["0", "2", "9", "10", "999999999"]


def test_hostile_flat_keys_cost_nothing_and_stay_attributes() -> None:
    hostile = {
        "llm.input_messages.99999999999999999999.message.content": "huge",
        "llm.input_messages.0" + ".1" * 50: "deep",
        "llm.input_messages.0.message.content": "kept",
        "llm.input_messages.0.message.content.more": "contradicts",
        "llm.input_messages.1.message.__proto__": "name",
        "llm.input_messages.٣.message.content": "digits",
    }
    row = row_of({"openinference.span.kind": "LLM", **hostile})
    assert messages(row)[0]["parts"] == [{"type": "text", "content": "kept"}]
    assert set(hostile) <= set(row["attributes"])


def test_flat_tool_calls_of_openinference() -> None:
    head = "llm.output_messages.0.message"
    row = row_of(
        {
            "openinference.span.kind": "LLM",
            f"{head}.role": "assistant",
            f"{head}.tool_calls.0.tool_call.id": "c1",
            f"{head}.tool_calls.0.tool_call.function.name": "count",
            f"{head}.tool_calls.0.tool_call.function.arguments": '{"of": "apples"}',
        }
    )
    assert messages(row, "output") == [{"role": "assistant", "parts": [CALL]}]
    assert row["output_preview"] == 'count({"of":"apples"})'


def test_system_instructions_come_first() -> None:
    row = row_of(
        {
            "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
            "gen_ai.input.messages": json.dumps([QUESTION]),
        }
    )
    assert messages(row) == CANONICAL


def test_previews_show_the_last_question_and_the_first_answer() -> None:
    asked = [*OPENAI, {"role": "assistant", "content": "Of what?"}, {"role": "user", "content": "Apples. " * 100}]
    answers = [{"role": "assistant", "content": "Twelve."}, {"role": "assistant", "content": "13"}]
    row = row_of({"gen_ai.input.messages": json.dumps(asked), "gen_ai.output.messages": json.dumps(answers)})
    assert row["input_preview"] == ("Apples. " * 100)[:200].strip()
    assert row["output_preview"] == "Twelve."


def test_span_events_carry_messages_where_the_span_does_not() -> None:
    events = [
        (START + 1, "gen_ai.system.message", {"content": "Be brief."}),
        (START + 2, "gen_ai.user.message", {"gen_ai.event.content": '{"content": "How many?"}'}),
        (START + 3, "gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": '{"content": "12"}'}),
    ]
    row = row_of({}, events=events)
    assert messages(row) == CANONICAL
    assert messages(row, "output")[0]["parts"] == [{"type": "text", "content": "12"}]
    assert (row["finish_reason"], row["dialect"]) == ("stop", "otel_genai")
    own = row_of({"gen_ai.input.messages": json.dumps([QUESTION])}, events=events)
    assert messages(own) == [QUESTION]


def test_the_details_event_completes_its_span() -> None:
    details = {
        "gen_ai.input.messages": json.dumps([QUESTION]),
        "gen_ai.request.model": "other",
        "gen_ai.system": "openai",
    }
    events = [(START + 1, "gen_ai.client.inference.operation.details", details)]
    row = row_of({"gen_ai.request.model": "own"}, events=events)
    assert (messages(row), row["model"], row["provider"]) == ([QUESTION], "own", "openai")


def test_documents_of_a_retriever_flat_or_json() -> None:
    flat = {
        "openinference.span.kind": "RETRIEVER",
        "retrieval.documents.0.document.id": "d1",
        "retrieval.documents.0.document.content": "text",
        "retrieval.documents.0.document.score": 0.5,
        "retrieval.documents.0.document.metadata": '{"page": 3}',
    }
    expected = [{"content": "text", "id": "d1", "score": 0.5, "metadata": {"page": 3}}]
    assert messages(row_of(flat), "documents") == expected
    as_json = json.dumps([{"page_content": "text", "id": "d1", "score": 0.5, "metadata": {"page": 3}}])
    assert messages(row_of({"gen_ai.retrieval.documents": as_json}), "documents") == expected


def test_text_without_roles_stays_text() -> None:
    row = row_of({"openinference.span.kind": "CHAIN", "input.value": "plain", "output.value": '{"answer": 12}'})
    assert (row["input"], row["output"], row["input_preview"]) == ("plain", '{"answer": 12}', "plain")


def test_arguments_and_result_of_a_tool() -> None:
    row = row_of(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "count",
            "gen_ai.tool.call.arguments": {"of": "apples"},
            "gen_ai.tool.call.result": "12",
        }
    )
    assert (row["tool_name"], row["input"], row["output"]) == ("count", '{"of":"apples"}', "12")
