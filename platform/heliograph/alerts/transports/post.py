"""One JSON document to one address: what all transports over HTTP share."""

import json
import math
from collections.abc import Mapping
from typing import Any

from heliograph.alerts.transports.outcome import MAX_ANSWER_CHARACTERS, Outcome
from heliograph.net.outgoing import Answer, OutgoingError, send

# Standard Webhooks advises 15 to 30 s; a worker has others to tell.
SECONDS = 10.0
_MAX_ANSWER_BYTES = 16 * 1_024
_GONE = 410


def as_body(document: Any) -> bytes:
    """Return a document as the bytes that are sent, and signed."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Outcome:
    """Send a body; delivered is what is answered with a status of 200 to 299."""
    own = {"content-type": "application/json", "user-agent": "heliograph"}
    try:
        answer = send(
            "POST", url, headers={**own, **(headers or {})}, body=body, seconds=SECONDS, most_bytes=_MAX_ANSWER_BYTES
        )
    except OutgoingError as error:
        return Outcome(is_delivered=False, error=str(error))
    return outcome_of(answer)


def outcome_of(answer: Answer) -> Outcome:
    """Return what an answer means."""
    error = ""
    if 300 <= answer.status < 400:
        error = "It redirects, which is not followed: give the final address."
    elif not 200 <= answer.status < 300:
        error = f"It answered with status {answer.status}."
    return Outcome(
        is_delivered=not error,
        status=answer.status,
        answer=answer.text[:MAX_ANSWER_CHARACTERS].replace("\x00", ""),  # PostgreSQL stores no NUL
        error=error,
        seconds=answer.seconds,
        is_gone=answer.status == _GONE,
        retry_after_s=_retry_after(answer.headers.get("retry-after", "")),
    )


def _retry_after(value: str) -> float | None:
    """Read Retry-After in seconds; a date is rare among receivers of webhooks, and the usual wait will do."""
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
