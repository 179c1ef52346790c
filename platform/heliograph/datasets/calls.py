"""One row's question to an endpoint: tried again while another try may help, and measured."""

import json
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from heliograph.net.outgoing import Answer as HttpAnswer
from heliograph.net.outgoing import OutgoingError, UnreachableError, send

# A model's longest answer is some hundred kilobytes.
MAX_ANSWER_BYTES = 4 * 2**20
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
_SHOWN = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of one question; `error` is '' where there is an answer. Times in epoch nanoseconds, of the last try.

    `is_refused` says that no row would be answered: a wrong key, an unknown model, an address that is not allowed.
    """

    output: Any = None
    error: str = ""
    is_refused: bool = False
    model: str = ""
    response_id: str = ""
    finish_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    attempts: int = 1
    started_ns: int = 0
    ended_ns: int = 0


class Pace:
    """Lets through so many questions a minute, evenly; 0 is no limit. For several threads."""

    def __init__(self, per_minute: int) -> None:
        self._gap_s = 60.0 / per_minute if per_minute else 0.0
        self._next = time.monotonic()
        self._lock = threading.Lock()

    def wait(self, stop: threading.Event) -> None:
        """Return when the next question may be asked, or when `stop` is set."""
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + self._gap_s
        if turn > now:
            stop.wait(turn - now)


def ask(
    url: str,
    api_key: str,
    body: Mapping[str, Any],
    *,
    attempts: int,
    timeout_s: float,
    pace: Pace,
    stop: threading.Event,
) -> Asked | None:
    """Ask until there is an answer or no more use in asking; None where `stop` was set before."""
    headers = {"content-type": "application/json", "accept": "application/json"}
    headers |= {"authorization": f"Bearer {api_key}"} if api_key else {}
    raw = json.dumps(body).encode()
    attempt = 0
    while True:
        pace.wait(stop)
        if stop.is_set():
            return None
        attempt += 1
        started_ns = time.time_ns()
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311  # spreads retries
        try:
            answer = send(
                "POST",
                f"{url}/chat/completions",
                headers=headers,
                body=raw,
                seconds=timeout_s,
                most_bytes=MAX_ANSWER_BYTES,
            )
        except UnreachableError as error:
            found, may_retry = Asked(error=str(error)), True
        except OutgoingError as error:
            found, may_retry = Asked(error=str(error), is_refused=True), False
        else:
            found, may_retry = _read(answer)
            wait_s = max(wait_s, _asked_wait(answer))
        found = _timed(found, attempt, started_ns)
        if not found.error or not may_retry or attempt >= attempts:
            return found
        if stop.wait(wait_s):
            return None


def _timed(found: Asked, attempt: int, started_ns: int) -> Asked:
    values = {name: getattr(found, name) for name in Asked.__slots__}
    return Asked(**values | {"attempts": attempt, "started_ns": started_ns, "ended_ns": time.time_ns()})


def _read(answer: HttpAnswer) -> tuple[Asked, bool]:
    """Return what an answer says, and whether another try may say more."""
    if answer.status != 200:
        error = f"HTTP {answer.status}: {_reason(answer)}"
        return Asked(error=error[:_SHOWN], is_refused=answer.status in (401, 403, 404)), answer.status in RETRIED
    if answer.is_cut:
        return Asked(error=f"The answer has more than {MAX_ANSWER_BYTES:,} bytes."), False
    try:
        body = json.loads(answer.body)
        choice = body["choices"][0]
        message = choice["message"]
        output = message.get("content")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return Asked(error=f"This is no chat completion: {answer.text[:200]}"), True
    if message.get("tool_calls"):
        output = {"content": output, "tool_calls": message["tool_calls"]}
    usage = body.get("usage") if isinstance(body.get("usage"), dict) else {}
    return (
        Asked(
            output=output if output is not None else "",
            model=_text(body.get("model")),
            response_id=_text(body.get("id")),
            finish_reason=_text(choice.get("finish_reason")),
            input_tokens=_count(usage.get("prompt_tokens")),
            output_tokens=_count(usage.get("completion_tokens")),
        ),
        False,
    )


def _reason(answer: HttpAnswer) -> str:
    try:
        said = json.loads(answer.body)["error"]
        return str(said["message"] if isinstance(said, dict) else said)
    except (ValueError, KeyError, TypeError, RecursionError):
        return answer.text


def _asked_wait(answer: HttpAnswer) -> float:
    asked = answer.headers.get("retry-after", "")
    return min(LONGEST_WAIT_S, float(asked)) if asked.isdecimal() and len(asked) < 6 else 0.0


def _text(value: Any) -> str:
    return value[:300] if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None
