"""Are the tool calls of an answer ones that the tools would accept?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evaluators.judges.base import SampleScorer, passed
from evaluators.judges.json_schema import schema_errors
from evaluators.score import Sample, Score

# An agent that calls more tools in one message is broken in another way.
MAX_CALLS = 1000


def tool_calls(*, require_call: bool = False) -> SampleScorer:
    """1 when every call names an offered tool and its arguments obey that tool's schema.

    `extra["tools"]` and `extra["tool_calls"]` are in the form of OpenAI's chat completions ({type, function: {name,
    parameters}} and {function: {name, arguments}}, arguments as JSON text or an object) or flat ({name, parameters or
    input_schema}, {name, arguments or input}). With `extra["expected_tool_calls"]` the calls must also be those, in any
    order. No calls pass unless `require_call`.
    """

    def judge(sample: Sample) -> Score:
        try:
            offered = dict(map(_tool, _list(sample, "tools")))
            calls = [_call(call) for call in _list(sample, "tool_calls")]
        except ValueError as error:
            return Score.unscored(str(error))
        faults = [fault for name, arguments in calls for fault in _faults(name, arguments, offered)]
        if require_call and not calls:
            faults.append("no tool was called")
        if "expected_tool_calls" in sample.extra:
            try:
                expected = [_call(call) for call in _list(sample, "expected_tool_calls")]
            except ValueError as error:
                return Score.unscored(str(error))
            faults += _differences(expected, calls)
        details = {"errors": faults, "calls": len(calls)}
        return passed(not faults, faults[0] if faults else f"{len(calls)} calls are valid", details)

    return SampleScorer("tool_calls", judge, "1", {"require_call": require_call})


def _list(sample: Sample, key: str) -> list[Mapping[str, Any]]:
    value = sample.extra.get(key, [] if key == "tool_calls" else None)
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise ValueError(f"{key} is not a list of objects")
    if len(value) > MAX_CALLS:
        raise ValueError(f"{key} has more than {MAX_CALLS} entries")
    return value


def _tool(tool: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    inner = tool.get("function", tool)
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise ValueError("a tool has no name")
    schema = inner.get("parameters", inner.get("input_schema", {}))
    if not isinstance(schema, Mapping):
        raise ValueError(f"the parameters of {inner['name']} are not a schema")
    return str(inner["name"]), schema


def _call(call: Mapping[str, Any]) -> tuple[str, Any]:
    inner = call.get("function", call)
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise ValueError("a tool call has no name")
    return str(inner["name"]), inner.get("arguments", inner.get("input", {}))


def _parsed(arguments: Any) -> Any:
    # A tool without parameters is called with an empty text by several providers.
    return json.loads(arguments or "{}") if isinstance(arguments, str) else arguments


def _faults(name: str, arguments: Any, offered: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if name not in offered:
        return [f"{name} is not an offered tool"]
    try:
        value = _parsed(arguments)
    except (json.JSONDecodeError, RecursionError) as error:
        return [f"{name}: arguments are not JSON: {error}"]
    if not isinstance(value, Mapping):
        return [f"{name}: arguments are not an object"]
    try:
        return [f"{name}: {fault}" for fault in schema_errors(value, offered[name])]
    except ValueError as error:
        return [f"{name}: {error}"]


def _differences(expected: list[tuple[str, Any]], calls: list[tuple[str, Any]]) -> list[str]:
    def key(call: tuple[str, Any]) -> str:
        try:
            value = _parsed(call[1])
        except (json.JSONDecodeError, RecursionError):
            value = call[1]
        return f"{call[0]}({json.dumps(value, sort_keys=True, default=str)})"

    wanted, got = sorted(map(key, expected)), sorted(map(key, calls))
    missing = [f"expected call is missing: {call[:200]}" for call in wanted if wanted.count(call) > got.count(call)]
    surplus = [f"unexpected call: {call[:200]}" for call in got if got.count(call) > wanted.count(call)]
    return list(dict.fromkeys(missing + surplus))
