"""A client for any OpenAI-compatible chat completions endpoint: bounded, timed out, retried."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from evaluators.judges.completion import Completion
from evaluators.judges.errors import RefusedError, RetryableError

# A judge answers with a verdict and a paragraph; a larger body is not one.
MAX_BODY_BYTES = 4 * 1024 * 1024
RETRY_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
# How servers answer to a response format that they do not know.
FORMAT_STATUSES = frozenset({400, 415, 422, 501})
MOST_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answered; the names of headers are in lower case, the body is at most MAX_BODY_BYTES + 1."""

    status: int
    headers: Mapping[str, str]
    body: bytes


# (address, headers, body, seconds for the whole request) -> reply; raises RetryableError, RefusedError.
Send = Callable[[str, Mapping[str, str], bytes, float], Reply]


def send_by_httpx(url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Reply:
    """Send a request wherever the address says; redirects are not followed, the environment's proxies are used.

    A platform that takes addresses from its users passes a `Send` of its own.
    """
    until = time.monotonic() + seconds
    try:
        with (
            httpx.Client(timeout=seconds) as client,
            client.stream("POST", url, headers=dict(headers), content=body) as response,
        ):
            raw = bytearray()
            for chunk in response.iter_bytes(65_536):
                raw += chunk
                if len(raw) > MAX_BODY_BYTES:
                    break
                if time.monotonic() > until:
                    raise RetryableError(f"no whole answer within {seconds:g} s")
            return Reply(response.status_code, response.headers, bytes(raw[: MAX_BODY_BYTES + 1]))
    except httpx.HTTPError as error:
        raise RetryableError(f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class ChatClient:
    """`base_url` ends before /chat/completions. `timeout` is in seconds, for one try; `tries` includes the first."""

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    tries: int = 3
    first_wait: float = 0.5
    send: Send = send_by_httpx

    def __post_init__(self) -> None:
        if urlsplit(self.base_url).scheme not in ("http", "https"):
            raise ValueError(f"the endpoint must be an http or https address, got {self.base_url!r}")
        if self.tries < 1 or self.timeout <= 0:
            raise ValueError(f"need at least one try and a timeout above 0, got {self.tries}, {self.timeout}")

    @property
    def identity(self) -> str:
        """The address and the model."""
        return f"{self.base_url.rstrip('/')} {self.model}"

    @property
    def is_remote(self) -> bool:
        """Yes: it occupies no device here."""
        return True

    def complete(self, messages: list[dict[str, str]], schema: Mapping[str, Any]) -> Completion:
        """The answer to `messages`, asked for as JSON of `schema`; raises JudgeError after the last try."""
        body = {
            "model": self.model,
            "messages": messages,
            "temperature": 0,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "verdict", "strict": True, "schema": dict(schema)},
            },
        }
        failed = 0
        while True:
            try:
                return self._post(body)
            except RetryableError as error:
                failed += 1
                if failed == self.tries:
                    raise
                # Many workers that were refused at once shall not come back at once.
                wait = error.wait or self.first_wait * 2 ** (failed - 1) * random.uniform(0.5, 1.5)  # noqa: S311  # no secret
                time.sleep(min(MOST_WAIT_SECONDS, wait))
            except RefusedError as error:
                # Many servers know no response format; the prompt asks for JSON too, and the answer is checked anyway.
                if error.status not in FORMAT_STATUSES or "response_format" not in body:
                    raise
                del body["response_format"]

    def _post(self, body: Mapping[str, Any]) -> Completion:
        headers = {"content-type": "application/json"}
        if self.api_key:
            headers["authorization"] = f"Bearer {self.api_key}"
        url = f"{self.base_url.rstrip('/')}/chat/completions"
        reply = self.send(url, headers, json.dumps(body).encode(), self.timeout)
        if reply.status != 200:
            reason = reply.body[:500].decode("utf-8", "replace")
            if reply.status in RETRY_STATUSES:
                raise RetryableError(f"HTTP {reply.status}: {reason}", _wait(reply.headers.get("retry-after")))
            raise RefusedError(f"HTTP {reply.status}: {reason}", reply.status)
        if len(reply.body) > MAX_BODY_BYTES:
            raise RefusedError(f"the answer is longer than {MAX_BODY_BYTES} bytes")
        return _completion(reply.body)


def _wait(header: str | None) -> float | None:
    return float(header) if header and header.isdigit() else None


def _completion(raw: bytes) -> Completion:
    try:
        answer = json.loads(raw)
        content = answer["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise RetryableError(f"not a chat completion: {raw[:200]!r}") from error
    if not isinstance(content, str):
        raise RetryableError("the completion has no text")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Completion(content, _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None
