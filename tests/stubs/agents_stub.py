"""A local server of the three APIs that coding agents talk to, whose answers are fixed: Anthropic's Messages, OpenAI's
Responses and Gemini's generateContent, streamed, as the agents ask for nothing else.

A request with tools and no result of one yet is answered with a call of the agent's shell, `echo 21 degrees in Paris`;
anything else with ANSWER. Each API counts in its own way: 120 tokens in, of them 64 from a cache, which Anthropic
counts beside the rest, and 45 out, of them 17 thoughts (not Anthropic), which Gemini counts beside the rest.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.stubs.openai_stub import ANSWER
from tests.stubs.serving import serving

COMMAND = "echo 21 degrees in Paris"
# The arguments of each agent's shell, by the tool's name.
SHELLS: dict[str, dict[str, Any]] = {
    "Bash": {"command": COMMAND, "description": "Look up the weather"},
    "exec_command": {"cmd": COMMAND},
    "shell_command": {"command": COMMAND},
    "shell": {"command": ["sh", "-c", COMMAND]},
    "run_shell_command": {"command": COMMAND, "description": "Look up the weather"},
}
_ANSWERS, _REQUESTS = itertools.count(1), itertools.count(1)
# An agent's first request has the descriptions of all its tools: a hundred KB.
_MAX_REQUEST_BYTES = 8 << 20


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        size = min(int(self.headers.get("Content-Length", 0)), _MAX_REQUEST_BYTES)
        request = json.loads(self.rfile.read(size) or b"{}")
        path = self.path.partition("?")[0]
        for ending, events in _APIS.items():
            if path.endswith(ending):
                self._answer(200, "".join(events(request, path)).encode(), "text/event-stream")
                return
        self._answer(404, b'{"error": {"message": "no such path"}}', "application/json")

    def do_GET(self) -> None:
        self._answer(404, b'{"error": {"message": "no such path"}}', "application/json")

    def _answer(self, status: int, data: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        # As Anthropic does: the agent's record and span of a call are known as one by it.
        self.send_header("request-id", f"req_stub_{next(_REQUESTS)}")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Says nothing: a test's output is its own."""


def _shell(names: list[str]) -> str | None:
    return next((name for name in names if name in SHELLS), None)


def _named(event: dict[str, Any]) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


def _messages(request: dict[str, Any], _path: str) -> Iterator[str]:
    shell = _shell([tool.get("name", "") for tool in request.get("tools") or ()])
    if shell and '"tool_result"' in json.dumps(request["messages"]):
        shell = None
    usage = {
        "input_tokens": 56,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 64,
        "output_tokens": 1,
        "service_tier": "standard",
    }
    message = {"id": f"msg_stub_{next(_ANSWERS)}", "type": "message", "role": "assistant", "model": request["model"]}
    message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield _named({"type": "message_start", "message": message})
    blocks: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"type": "text", "text": ""}, {"type": "text_delta", "text": "I look it up." if shell else ANSWER})
    ]
    if shell:
        begun = {"type": "tool_use", "id": "toolu_stub_1", "name": shell, "input": {}}
        blocks.append((begun, {"type": "input_json_delta", "partial_json": json.dumps(SHELLS[shell])}))
    for at, (begun, delta) in enumerate(blocks):
        yield _named({"type": "content_block_start", "index": at, "content_block": begun})
        yield _named({"type": "content_block_delta", "index": at, "delta": delta})
        yield _named({"type": "content_block_stop", "index": at})
    ended = {"stop_reason": "tool_use" if shell else "end_turn", "stop_sequence": None}
    yield _named({"type": "message_delta", "delta": ended, "usage": {"output_tokens": 45}})
    yield _named({"type": "message_stop"})


def _responses(request: dict[str, Any], _path: str) -> Iterator[str]:
    shell = _shell([tool.get("name", "") for tool in request.get("tools") or ()])
    if shell and '"function_call_output"' in json.dumps(request["input"]):
        shell = None
    response = {"id": f"resp_stub_{next(_ANSWERS)}", "object": "response", "model": request["model"]}
    item: dict[str, Any]
    if shell:
        item = {"type": "function_call", "id": "fc_stub_1", "call_id": "call_stub_1", "name": shell}
        item["arguments"] = json.dumps(SHELLS[shell])
    else:
        item = {"type": "message", "id": "msg_stub_1", "role": "assistant"}
        item["content"] = [{"type": "output_text", "text": ANSWER, "annotations": []}]
    usage = {"input_tokens": 120, "output_tokens": 45, "total_tokens": 165}
    details = {
        "input_tokens_details": {"cached_tokens": 64},
        "output_tokens_details": {"reasoning_tokens": 17},
    }
    yield _named({"type": "response.created", "response": response})
    yield _named({"type": "response.output_item.done", "output_index": 0, "item": item})
    ended = {**response, "status": "completed", "output": [item], "usage": usage | details}
    yield _named({"type": "response.completed", "response": ended})


def _generate(request: dict[str, Any], path: str) -> Iterator[str]:
    tools = [each for tool in request.get("tools") or () for each in tool.get("functionDeclarations") or ()]
    shell = _shell([tool.get("name", "") for tool in tools])
    if shell and '"functionResponse"' in json.dumps(request["contents"]):
        shell = None
    part: dict[str, Any] = {"functionCall": {"name": shell, "args": SHELLS[shell]}} if shell else {"text": ANSWER}
    answer = {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}],
        "usageMetadata": {
            "promptTokenCount": 120,
            "cachedContentTokenCount": 64,
            "candidatesTokenCount": 28,
            "thoughtsTokenCount": 17,
            "totalTokenCount": 165,
        },
        "modelVersion": path.rpartition("/")[2].partition(":")[0],
        "responseId": f"gemini_stub_{next(_ANSWERS)}",
    }
    yield f"data: {json.dumps(answer)}\n\n"


_APIS: dict[str, Callable[[dict[str, Any], str], Iterator[str]]] = {
    "/v1/messages": _messages,
    "/v1/responses": _responses,
    ":streamGenerateContent": _generate,
}


@contextmanager
def agents_stub() -> Iterator[str]:
    """Serve on a free loopback port; yields the base URL, without the APIs' versions."""
    with serving(_Handler) as base:
        yield base
