"""A local server of Anthropic's Messages API whose answers are fixed: what instrumented clients talk to in tests.

As Anthropic does, it counts cached input beside `input_tokens`: 56 and 64 read make 120. A model named `broken` answers
500; with `tools` and no tool result yet, the answer is a call of the first tool; anything else is answered with ANSWER.
"""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.stubs.openai_stub import ANSWER
from tests.stubs.serving import serving

ANSWERED_MODEL = "claude-sonnet-4-5-20250929"
USAGE = {
    "input_tokens": 56,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 64,
    "output_tokens": 45,
    "service_tier": "standard",
}
# Each answer has an id of its own, as the real ones do: what has the same id is the same answer.
_ANSWERS = itertools.count(1)
_MAX_REQUEST_BYTES = 4 << 20


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        size = min(int(self.headers.get("Content-Length", 0)), _MAX_REQUEST_BYTES)
        request = json.loads(self.rfile.read(size))
        if request.get("model") == "broken":
            error = {"type": "api_error", "message": "The stub was asked to fail"}
            self._answer(500, json.dumps({"type": "error", "error": error}).encode(), "application/json")
        elif request.get("stream"):
            events = "".join(
                f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in _events(_message(request))
            )
            self._answer(200, events.encode(), "text/event-stream")
        else:
            self._answer(200, json.dumps(_message(request)).encode(), "application/json")

    def _answer(self, status: int, data: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Says nothing: a test's output is its own."""


def _message(request: dict[str, Any]) -> dict[str, Any]:
    blocks = [
        block
        for message in request["messages"]
        if isinstance(message["content"], list)
        for block in message["content"]
        if isinstance(block, dict)
    ]
    calls_tool = bool(request.get("tools")) and not any(block.get("type") == "tool_result" for block in blocks)
    content: list[dict[str, Any]] = [{"type": "text", "text": "I look it up." if calls_tool else ANSWER}]
    if calls_tool:
        call = {"type": "tool_use", "id": "toolu_stub_1", "name": request["tools"][0]["name"]}
        content.append({**call, "input": {"city": "Paris"}})
    return {
        "id": f"msg_stub_{next(_ANSWERS)}",
        "type": "message",
        "role": "assistant",
        "model": ANSWERED_MODEL,
        "content": content,
        "stop_reason": "tool_use" if calls_tool else "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }


def _events(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    begun = {**message, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    for at, block in enumerate(message["content"]):
        yield {"type": "content_block_start", "index": at, "content_block": {"type": "text", "text": ""}}
        for word in block["text"].split(" "):
            delta = {"type": "text_delta", "text": word if word == "Paris" else f" {word}"}
            yield {"type": "content_block_delta", "index": at, "delta": delta}
        yield {"type": "content_block_stop", "index": at}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": USAGE["output_tokens"]}}
    yield {"type": "message_stop"}


@contextmanager
def anthropic_stub() -> Iterator[str]:
    """Serve on a free loopback port; yields the base URL for a client."""
    with serving(_Handler) as base:
        yield base
