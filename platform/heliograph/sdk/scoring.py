"""`score()`: a verdict of a person or a program about a trace or a span."""

import json
import logging
import math
import re
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace

from heliograph.sdk import state
from heliograph.sdk.destination import Destination, destination
from heliograph.sdk.masking import Mask, mask_value
from heliograph.sdk.outbox import Outbox

logger = logging.getLogger("heliograph.sdk")

TIMEOUT_S = 10.0
# A server that restarts is back within half a minute; then the next batch has its turn.
_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
# A score is some hundred bytes; its explanation up to 20,000 characters, as the server takes them.
_MOST, _MOST_BYTES, _BATCH, _BATCH_BYTES = 10_000, 16 * 2**20, 100, 2**20
_MAX_EXPLANATION, _MAX_SHORT = 20_000, 200
_TRACE_ID, _SPAN_ID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class _Pending:
    target: Destination
    body: dict[str, Any]
    mask: Mask | None


def score(
    name: str,
    value: float,
    *,
    trace_id: str = "",
    span_id: str = "",
    session_id: str = "",
    label: str = "",
    explanation: str = "",
    id: str = "",  # noqa: A002  # the API's name for it
    api_key: str = "",
    web_address: str = "",
) -> bool:
    """Leave a score to be stored; without `trace_id` and `session_id` it belongs to the current span.

    Returns at once, whether the score will be sent: False for one that says nothing (no span here, a span that is not
    sampled, a value that is no finite number) or while too many wait. What comes of it later is in the log and in
    `stats()`. Sent again with the same `id`, a score is replaced and not added.
    """
    try:
        target = _target(trace_id, span_id, session_id)
        number = float(value)
        if target is None or not math.isfinite(number):
            if target is not None:
                logger.warning("heliograph: score(%r) is no finite number; nothing was stored", name)
            return False
        text = str(explanation)[:_MAX_EXPLANATION]
        body: dict[str, Any] = {
            "id": (id or uuid.uuid4().hex)[:_MAX_SHORT],
            "name": str(name)[:_MAX_SHORT],
            "value": number,
            "label": str(label)[:_MAX_SHORT],
            "explanation": text,
            **target,
        }
        where = destination(api_key=api_key, web_address=web_address) if api_key or web_address else state.target()
        return outbox.put(_Pending(where, body, state.mask()), 400 + len(text))
    except Exception:  # a value whose conversion raises, for one: feedback must not break an answer
        logger.warning("heliograph: score(%r) cannot be used; nothing was stored", name, exc_info=True)
        return False


def _target(trace_id: str, span_id: str, session_id: str) -> dict[str, str] | None:
    if trace_id:
        if not _TRACE_ID.fullmatch(trace_id) or not (not span_id or _SPAN_ID.fullmatch(span_id)):
            logger.warning("heliograph: a trace_id has 32 and a span_id 16 hexadecimal digits; nothing was stored")
            return None
        return {"trace_id": trace_id, **({"span_id": span_id} if span_id else {})}
    if session_id:
        return {"session_id": str(session_id)[:500]}
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        logger.warning("heliograph: score() outside a span needs a trace_id or session_id; nothing was stored")
        return None
    if not context.trace_flags.sampled:
        return None  # there will be no such trace
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def _send(batch: Sequence[_Pending]) -> int:
    """Send scores, those of one destination together; return how many were not stored."""
    failed = 0
    for target in dict.fromkeys(each.target for each in batch):
        bodies = [_masked(each) for each in batch if each.target == target]
        failed += _post(target, bodies)
    return failed


def _post(target: Destination, bodies: list[dict[str, Any]]) -> int:
    request = urllib.request.Request(  # noqa: S310  # the address is the user's own setting
        f"{target.web_address}/api/v1/scores",
        data=json.dumps({"scores": bodies}).encode(),
        headers={"content-type": "application/json", **target.headers},
    )
    reason = ""
    for wait in (*_WAITS_S, None):
        status, reason, asked = _try(request)
        if status == 0:
            return 0
        if status == 400 and len(bodies) > 1:
            # All of a batch or none of it is stored: one bad score is not to cost the others.
            return sum(_post(target, [body]) for body in bodies)
        if status is not None and status not in _RETRIED:
            break
        # The last try at exit, or of a server that stays away.
        if wait is None or outbox.closing.wait(max(wait, asked)):
            break
    logger.warning("heliograph: %d scores were not stored: %s", len(bodies), reason)
    return len(bodies)


def _try(request: urllib.request.Request) -> tuple[int | None, str, float]:
    """Return (0, "", 0) where it was stored, else the status or None, the reason, and how many s to wait."""
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310  # as above
            return 0, "", 0.0
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(2_000).decode("utf-8", "replace")
            asked = error.headers.get("retry-after", "")
        return error.code, f"HTTP {error.code} {said}", min(30.0, float(asked)) if asked.isdecimal() else 0.0
    except (OSError, ValueError) as error:  # no connection, a timeout; an address that is none
        return None, str(error), 0.0


def _masked(pending: _Pending) -> dict[str, Any]:
    if pending.mask is None:
        return pending.body
    masked = {
        field: mask_value(pending.mask, f"score.{field}", pending.body[field])
        for field in ("label", "explanation")
        if pending.body[field]
    }
    return {**pending.body, **{field: "" if text is None else str(text) for field, text in masked.items()}}


outbox: Outbox[_Pending] = Outbox(
    "scores", _send, most_items=_MOST, most_bytes=_MOST_BYTES, batch_items=_BATCH, batch_bytes=_BATCH_BYTES
)
