"""A local OpenAI-compatible server whose answers are fixed: what instrumented clients talk to in tests.

Chat completions (streamed and not, tool calls, errors), responses and embeddings, with cached and reasoning tokens.

- a model named `broken` answers 500, `limited` 429;
- a base path that ends in `/broken` answers 500 to any model;
- with `tools` and no tool result yet, the answer is a call of the first tool; with a result and a tool named
  `final_answer`, as agents of smolagents have, a call of that one;
- anything else is answered with ANSWER.
"""

import base64
import itertools
import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.stubs.serving import serving

ANSWER = "Paris is the capital of France."
TOOL_ARGUMENTS = '{"city": "Paris"}'
ANSWERED_MODEL = "gpt-4o-2024-08-06"
USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 45,
    "total_tokens": 165,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 17, "audio_tokens": 0},
}
# Long enough that a time to first token cannot be 0, short enough for a test.
FIRST_CHUNK_DELAY_S = 0.02
# Each answer has an id of its own, as the real ones do: what has the same id is the same answer.
_ANSWERS = itertools.count(1)
_CREATED = 1_790_000_000
_MAX_REQUEST_BYTES = 4 << 20


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        size = min(int(self.headers.get("Content-Length", 0)), _MAX_REQUEST_BYTES)
        request = json.loads(self.rfile.read(size))
        model = request.get("model", "")
        if model == "broken" or "/broken/" in self.path:
            self._answer(
                500, {"error": {"message": "The stub was asked to fail", "type": "server_error", "code": None}}
            )
        elif model == "limited":
            self._answer(429, {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit"}})
        elif self.path.endswith("/chat/completions"):
            if request.get("stream"):
                self._stream(_chunks(request))
            else:
                self._answer(200, _completion(request))
        elif self.path.endswith("/responses"):
            self._answer(200, _response(request))
        elif self.path.endswith("/embeddings"):
            self._answer(200, _embeddings(request))
        else:
            self._answer(404, {"error": {"message": f"no such path: {self.path}", "type": "invalid_request_error"}})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, chunks: Iterator[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        time.sleep(FIRST_CHUNK_DELAY_S)
        for chunk in chunks:
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Says nothing: a test's output is its own."""


def _answer_message(request: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The assistant's message and its finish reason."""
    answered_tool = any(
        # smolagents sends a tool's result as a user's message.
        message.get("role") == "tool"
        or (message.get("role") == "user" and "Observation:" in str(message.get("content")))
        for message in request["messages"]
    )
    names = [tool["function"]["name"] for tool in request.get("tools") or ()]
    if names and not answered_tool:
        call: dict[str, Any] = {"id": "call_stub_1", "type": "function"}
        call["function"] = {"name": names[0], "arguments": TOOL_ARGUMENTS}
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    if "final_answer" in names:
        call = {"id": "call_stub_2", "type": "function"}
        call["function"] = {"name": "final_answer", "arguments": json.dumps({"answer": ANSWER})}
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    return {"role": "assistant", "content": ANSWER}, "stop"


def _completion(request: dict[str, Any]) -> dict[str, Any]:
    message, reason = _answer_message(request)
    return {
        "id": f"chatcmpl-stub-{next(_ANSWERS)}",
        "object": "chat.completion",
        "created": _CREATED,
        "model": ANSWERED_MODEL,
        "system_fingerprint": "fp_stub",
        "service_tier": "default",
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": USAGE,
    }


def _chunks(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    message, reason = _answer_message(request)
    head = {
        "id": f"chatcmpl-stub-{next(_ANSWERS)}",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": ANSWERED_MODEL,
        "system_fingerprint": "fp_stub",
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": ""})
    for at, call in enumerate(message.get("tool_calls", [])):
        function = call["function"]
        yield chunk({"tool_calls": [{**call, "index": at, "function": {**function, "arguments": ""}}]})
        yield chunk({"tool_calls": [{"index": at, "function": {"arguments": function["arguments"]}}]})
    for word in (message["content"] or "").split(" "):
        if word:
            yield chunk({"content": word if word == "Paris" else f" {word}"})
    yield chunk({}, reason)
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": USAGE}


def _response(request: dict[str, Any]) -> dict[str, Any]:
    content = [{"type": "output_text", "text": ANSWER, "annotations": []}]
    return {
        "id": f"resp_stub_{next(_ANSWERS)}",
        "object": "response",
        "created_at": _CREATED,
        "status": "completed",
        "model": ANSWERED_MODEL,
        "output": [
            {"type": "message", "id": "msg_stub_1", "status": "completed", "role": "assistant", "content": content}
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 120,
            "output_tokens": 45,
            "total_tokens": 165,
            "input_tokens_details": {"cached_tokens": 64},
            "output_tokens_details": {"reasoning_tokens": 17},
        },
    }


def _embeddings(request: dict[str, Any]) -> dict[str, Any]:
    texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
    vector: Any = [0.25, -0.5, 0.75]
    if request.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<3f", *vector)).decode()
    return {
        "object": "list",
        "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": at, "embedding": vector} for at, _ in enumerate(texts)],
        "usage": {"prompt_tokens": 8 * len(texts), "total_tokens": 8 * len(texts)},
    }


@contextmanager
def openai_stub() -> Iterator[str]:
    """Serve on a free loopback port; yields the base URL for a client (`http://127.0.0.1:N/v1`)."""
    with serving(_Handler) as base:
        yield f"{base}/v1"
