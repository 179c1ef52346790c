"""The MCP server, by the protocol's own client."""

import json
import os
import sys
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from mcp import Client, StdioServerParameters

from heliograph.accounts.models import Project
from heliograph.cli.assistant.answers import MAX_CHARACTERS, bounded
from heliograph.cli.assistant.server import make
from heliograph.cli.frame.api import Api
from heliograph.cli.frame.profile import Profile
from tests.cli.conftest import Cli
from tests.query.rows import llm, new_trace_id, span, store_spans


async def call(client: Client, name: str, /, **arguments: Any) -> Any:
    """Return what a tool answers, or its error's text."""
    result = await client.call_tool(name, arguments)
    (content,) = result.content
    return content.text if result.is_error else json.loads(content.text)  # type: ignore[union-attr]  # texts only


@pytest.fixture
def trace_id(project: Project, store: str) -> str:
    trace_id = new_trace_id()
    root = span(trace_id, 2, name="answer")
    store_spans(
        project.pk, root, llm(trace_id, 2.5, parent_span_id=root["span_id"], output="Hello", duration_ns=3 * 10**9)
    )
    return trace_id


async def test_an_assistant_reads_its_project_over_stdio_and_no_other(cli: Cli, stranger: Cli, trace_id: str) -> None:
    async def read(who: Cli) -> tuple[Any, Any]:
        environment = {**os.environ, **who.environment}
        command = StdioServerParameters(command=sys.executable, args=["-m", "heliograph.cli", "mcp"], env=environment)
        async with Client(command) as client:
            tools = (await client.list_tools()).tools
            assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
            found = await call(client, "search_traces", filter="model:gpt-4o latency>2s")
            return found, await call(client, "get_trace", trace_id=trace_id)

    found, trace = await read(cli)
    assert [each["trace_id"] for each in found["items"]] == [trace_id]
    assert {each["name"] for each in trace["spans"]} == {"answer", "chat"}
    found, trace = await read(stranger)
    assert found.get("items", []) == []
    assert "no such trace" in trace


async def test_every_tool_answers_and_faults_say_what_to_do(cli: Cli, trace_id: str) -> None:
    (root,) = await sync_to_async(cli.json)("spans", "list", "--filter", "name:answer")
    with Api(Profile(cli.environment["HELIOGRAPH_URL"], cli.environment["HELIOGRAPH_API_KEY"])) as api:
        async with Client(make(api)) as client:
            given = {
                "get_trace": {"trace_id": trace_id},
                "get_span": {"trace_id": trace_id, "span_id": root["span_id"]},
                "where_it_ran": {"trace_id": trace_id},
                "query_metric": {"name": "no.such"},
            }
            for tool in (await client.list_tools()).tools:
                answer = await call(client, tool.name, **given.get(tool.name, {}))
                assert isinstance(answer, dict) == (tool.name != "query_metric"), (tool.name, answer)
            assert "filter" in await call(client, "search_spans", filter="latency>>2")
            assert "no such" in await call(client, "get_trace", trace_id="../scores")
            assert "no time" in await call(client, "list_scores", until="yesterday")


def test_an_answer_fits_into_a_context_and_says_what_it_lacks() -> None:
    rows = [{"trace_id": f"{number:032x}", "text": "x" * 10_000, "empty": ""} for number in range(1_000)]
    answer = bounded({"items": rows, "next_cursor": "c"})
    found = json.loads(answer)
    assert len(answer) <= MAX_CHARACTERS
    assert found["next_cursor"] == "c"
    assert len(found["items"]) + int(found["note"].split()[0]) == 1_000
    assert found["items"][0]["text"].endswith("9880 more characters)")
    assert "empty" not in found["items"][0]
    assert len(bounded({"one": {str(number): "x" * 100 for number in range(10_000)}})) <= MAX_CHARACTERS
