"""`score()`: a verdict of a person or a program about a trace or a span."""

import json
import logging
import urllib.error
import urllib.request
import uuid

from opentelemetry import trace

from heliograph.sdk.setup import destination

logger = logging.getLogger("heliograph.sdk")

TIMEOUT_SECONDS = 5


def score(
    name: str,
    value: float,
    *,
    trace_id: str = "",
    span_id: str = "",
    label: str = "",
    explanation: str = "",
    api_key: str = "",
    web_address: str = "",
) -> bool:
    """Store a score; without `trace_id` it belongs to the current span.

    Returns whether it was stored. A failure is logged and never raised: feedback must not break an answer. This call
    waits for the server, up to 5 s: keep it off a request's path.
    """
    if not trace_id:
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            logger.warning("heliograph: score(%r) outside a span needs a trace_id; nothing was stored", name)
            return False
        trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    target = destination(api_key=api_key, web_address=web_address)
    body = {
        "id": uuid.uuid4().hex,
        "name": name,
        "value": value,
        "trace_id": trace_id,
        "span_id": span_id,
        "label": label,
        "explanation": explanation,
    }
    request = urllib.request.Request(  # noqa: S310  # the address is the user's own setting
        f"{target.web_address}/api/v1/scores",
        data=json.dumps({"scores": [body]}).encode(),
        headers={"content-type": "application/json", **target.headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310  # as above
            return True
    except (urllib.error.URLError, TimeoutError) as error:
        logger.warning("heliograph: the score %r was not stored: %s", name, error)
        return False
