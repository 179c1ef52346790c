"""A small client for any OpenAI-compatible chat completions endpoint: bounded, timed out, retried.

JudgeError - no usable answer came
|- RetryableError - the endpoint was busy, away or too slow; another try may help
`- RefusedError - the endpoint does not accept the request; another try will not help
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

# A judge answers with a verdict and a paragraph; a larger body is not one.
MAX_BODY_BYTES = 4 * 1024 * 1024
RETRY_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
# How servers answer to a response format that they do not know.
FORMAT_STATUSES = frozenset({400, 415, 422, 501})
MOST_WAIT_SECONDS = 30.0


class JudgeError(Exception):
    """No usable answer came."""


class RetryableError(JudgeError):
    """The endpoint was busy, away or too slow."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class RefusedError(JudgeError):
    """The endpoint does not accept the request."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class ChatClient:
    """`base_url` ends before /chat/completions. `timeout` is in seconds, for one try; `tries` includes the first."""

    base_url: str
    model: str
    api_key: str | None = None
    timeout: float = 60.0
    tries: int = 3
    first_wait: float = 0.5

    def __post_init__(self) -> None:
        if urlsplit(self.base_url).scheme not in ("http", "https"):
            raise ValueError(f"the endpoint must be an http or https address, got {self.base_url!r}")
        if self.tries < 1 or self.timeout <= 0:
            raise ValueError(f"need at least one try and a timeout above 0, got {self.tries}, {self.timeout}")

    def complete(self, messages: list[dict[str, str]], schema: Mapping[str, Any]) -> str:
        """The text of the answer to `messages`, asked for as JSON of `schema`; raises JudgeError after the last try."""
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
                time.sleep(min(MOST_WAIT_SECONDS, error.wait or self.first_wait * 2 ** (failed - 1)))
            except RefusedError as error:
                # Many servers know no response format; the prompt asks for JSON too, and the answer is checked anyway.
                if error.status not in FORMAT_STATUSES or "response_format" not in body:
                    raise
                del body["response_format"]

    def _post(self, body: Mapping[str, Any]) -> str:
        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        url = f"{self.base_url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - scheme checked above
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:  # noqa: S310 - as above
                raw = response.read(MAX_BODY_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                reason = error.read(500).decode("utf-8", "replace")
            if error.code in RETRY_STATUSES:
                raise RetryableError(f"HTTP {error.code}: {reason}", _wait(error.headers.get("Retry-After"))) from error
            raise RefusedError(f"HTTP {error.code}: {reason}", error.code) from error
        except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
            raise RetryableError(f"{type(error).__name__}: {error}") from error
        if len(raw) > MAX_BODY_BYTES:
            raise RefusedError(f"the answer is longer than {MAX_BODY_BYTES} bytes")
        return _content(raw)


def _wait(header: str | None) -> float | None:
    return float(header) if header and header.isdigit() else None


def _content(raw: bytes) -> str:
    try:
        content = json.loads(raw)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise RetryableError(f"not a chat completion: {raw[:200]!r}") from error
    if not isinstance(content, str):
        raise RetryableError("the completion has no text")
    return content
