"""What a call asked for, what tools it had, and tokens by modality: one shape, whoever sends it."""

import json
from typing import Any

import pytest

from collectors.pricing import price
from collectors.semconv.events import Event
from collectors.semconv.log_events import content_of_events
from collectors.semconv.meaning import interpret, minute_of
from collectors.semconv.request import REQUEST
from tests.collectors.build import START, row_of

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
CANONICAL = [{"name": "weather", "description": "Of a city.", "parameters": WEATHER}]
FUNCTION = {"name": "weather", "description": "Of a city.", "parameters": WEATHER}
ASKED = {"temperature": "0.5", "max_tokens": "100"}


def said(attributes: dict[str, Any], events: list[Event] | None = None) -> dict[str, Any]:
    return interpret(attributes, events or [], start_ns=START)


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 100},
        {"gen_ai.request.temperature": 0.5, "gen_ai.request.max_completion_tokens": "100"},
        {"llm.invocation_parameters": '{"temperature": 0.5, "max_completion_tokens": 100}'},
        {"ai.settings.temperature": 0.5, "ai.settings.maxOutputTokens": 100},
        {"langfuse.observation.model.parameters": '{"temperature": 0.5, "max_tokens": 100, "top_p": "Infinity"}'},
        {"langsmith.metadata.ls_temperature": 0.5, "langsmith.metadata.ls_max_tokens": "100"},
        {"mlflow.spanType": '"CHAT_MODEL"', "temperature": "0.5", "max_tokens": "100"},
        {
            "queue_time": "1ms",
            "parameters": "GenerateParameters { temperature: Some(0.5), top_k: None, max_new_tokens: Some(100) }",
        },
    ],
    ids=lambda attributes: next(iter(attributes)),
)
def test_every_dialect_s_parameters_are_one_column(attributes: dict[str, Any]) -> None:
    assert said(attributes)["request"] == ASKED


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("temperature", 1, "1"),
        ("temperature", 1.0, "1"),
        ("temperature", "1", "1"),
        ("temperature", 0.699999988079071, "0.7"),
        ("temperature", float("nan"), None),
        ("temperature", True, None),
        ("max_tokens", -1, None),
        ("seed", -7, "-7"),
        ("seed", 2**63 - 1, str(2**63 - 1)),
        ("stream", "True", "true"),
        ("stop_sequences", "\n", '["\\n"]'),
        ("stop_sequences", '["a", " b"]', '["a"," b"]'),
        ("stop_sequences", ["x" * 600], None),
        ("encoding_formats", ["float"], "float"),
        ("tool_choice", '{"type": "function", "function": {"name": "weather"}}', "weather"),
        ("tool_choice", '{"type":"auto"}', "auto"),
        ("response_format", '{"type": "json_schema", "json_schema": {"name": "answer"}}', "answer"),
    ],
)
def test_a_setting_has_one_text(name: str, value: Any, expected: str | None) -> None:
    assert REQUEST[name](value) == expected


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.tool.definitions": [{"type": "function", **FUNCTION}]},
        {"gen_ai.tool.definitions": json.dumps([{"type": "function", "function": FUNCTION}])},
        {
            "gen_ai.tool.definitions": json.dumps(
                [{"name": "weather", "description": "Of a city.", "input_schema": WEATHER}]
            )
        },
        {"llm.tools.0.tool.json_schema": json.dumps({"type": "function", "function": FUNCTION})},
        {
            "llm.request.functions.0.name": "weather",
            "llm.request.functions.0.description": "Of a city.",
            "llm.request.functions.0.parameters": json.dumps(WEATHER),
        },
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.prompt.tools": [
                json.dumps({"inputSchema": WEATHER, **{k: FUNCTION[k] for k in ("name", "description")}})
            ],
        },
        {"mlflow.chat.tools": json.dumps([{"type": "function", "function": FUNCTION}])},
        {
            "model_request_parameters": json.dumps(
                {
                    "function_tools": [{**FUNCTION, "parameters": None, "parameters_json_schema": WEATHER}],
                    "output_tools": [],
                }
            ),
            "gen_ai.operation.name": "chat",
        },
        {"gen_ai.tool.definitions": json.dumps([{"functionDeclarations": [FUNCTION]}])},
        {
            "gen_ai.tool.definitions": json.dumps(
                [{"toolSpec": {"name": "weather", "description": "Of a city.", "inputSchema": {"json": WEATHER}}}]
            )
        },
    ],
    ids=lambda attributes: next(iter(attributes)),
)
def test_every_shape_of_tool_definitions_is_one(attributes: dict[str, Any]) -> None:
    assert json.loads(said(attributes)["tools"]) == CANONICAL


def test_a_provider_s_own_tool_is_named_by_its_type() -> None:
    tools = said({"gen_ai.tool.definitions": '[{"type": "web_search"}, "nonsense", {"x": 1}]'})["tools"]
    assert json.loads(tools) == [{"name": "web_search"}]


def test_tokens_by_modality_and_zero_says_nothing() -> None:
    counted = {
        "gen_ai.request.model": "gpt-4o-audio-preview",
        "llm.token_count.prompt_details.audio": 30,
        "llm.token_count.completion_details.audio": 0,
        "gen_ai.usage.image.input_tokens": "12",
    }
    assert said(counted)["modality_tokens"] == {"audio_input": 30, "image_input": 12}
    assert said({"langfuse.observation.usage_details": '{"input": 9, "input_audio": 4}'})["modality_tokens"] == {
        "audio_input": 4
    }
    assert "modality_tokens" not in said({"gen_ai.request.model": "m"})


def test_audio_costs_what_audio_costs() -> None:
    def cost(**audio: int) -> Any:
        given = {"input_tokens": 1_000, "output_tokens": 500}
        return price("amazon.nova-sonic-v1:0", "aws.bedrock", minute_of(START), **given, **audio).total_usd

    plain, heard, spoken = cost(), cost(audio_input_tokens=400), cost(audio_input_tokens=400, audio_output_tokens=500)
    assert plain is not None
    assert plain < heard < spoken
    assert cost(audio_input_tokens=9_999) == cost(audio_input_tokens=1_000), "no more audio than there is input"


@pytest.mark.parametrize("event", ["gen_ai.content.reasoning", "gen_ai.reasoning"])
def test_reasoning_in_events_stands_before_the_answer(event: str) -> None:
    key = event if event == "gen_ai.content.reasoning" else "content"
    thought = (START + 1, event, {key: "Capital? Paris."})
    answer = (START + 2, "gen_ai.content.completion", {"gen_ai.completion": "Paris"})
    parts = [{"type": "reasoning", "content": "Capital? Paris."}, {"type": "text", "content": "Paris"}]
    assert json.loads(said({"gen_ai.operation.name": "chat"}, [thought, answer])["output"])[0]["parts"] == parts
    assert json.loads(content_of_events([answer, thought]).output)[0]["parts"] == parts, "as log records too"
    whole = json.dumps([{"role": "assistant", "parts": parts[1:]}])
    assert json.loads(row_of({"gen_ai.output.messages": whole}, events=[thought])["output"])[0]["parts"] == parts


def test_reasoning_in_an_attribute_of_its_own() -> None:
    fields = said({"gen_ai.operation.name": "chat", "gen_ai.content.reasoning": "Hm.", "output": "Paris"})
    assert [part["type"] for part in json.loads(fields["output"])[0]["parts"]] == ["reasoning", "text"]
