"""A user's function over everything that a span says, before it leaves the process."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status

logger = logging.getLogger("heliograph.sdk")

Mask = Callable[[str, Any], Any]

MASKED = "[not sent: the mask failed]"
_PLAIN = (str, bool, int, float)


def mask_value(mask: Mask, key: str, value: Any) -> Any:
    """Return what the mask makes of a value; `MASKED` where it fails or returns what no attribute can be.

    None from the mask means that the value is left out.
    """
    try:
        found = mask(key, value)
    except BaseException as error:  # noqa: BLE001  # not even SystemExit may let a secret through or end the thread
        # The error's own text may quote the content.
        logger.warning("heliograph: the mask failed on %r with %s; the content is left out", key, type(error).__name__)
        return MASKED
    if found is None or isinstance(found, _PLAIN):
        return found
    if isinstance(found, (list, tuple)) and all(isinstance(each, _PLAIN) for each in found):
        return found
    logger.warning("heliograph: the mask returned a %s for %r; the content is left out", type(found).__name__, key)
    return MASKED


def mask_span(mask: Mask, span: ReadableSpan) -> ReadableSpan:
    """Return a copy of a span with every text masked: attributes, events, links, the status and the name.

    Only texts and lists with texts are given to the mask; numbers stay. The resource is the service's own description
    and is left alone.
    """
    status = span.status
    if status.description:
        status = Status(status.status_code, _text(mask, "status.message", status.description))
    return ReadableSpan(
        name=_text(mask, "span.name", span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_attributes(mask, span.attributes),
        events=[
            Event(_text(mask, "event.name", event.name), _attributes(mask, event.attributes), event.timestamp)
            for event in span.events
        ],
        links=[Link(link.context, _attributes(mask, link.attributes)) for link in span.links],
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _attributes(mask: Mask, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in (attributes or {}).items():
        masked = mask_value(mask, key, value) if _has_text(value) else value
        if masked is not None:
            found[key] = masked
    return found


def _has_text(value: Any) -> bool:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return any(isinstance(each, (str, bytes)) for each in value)
    return not isinstance(value, (bool, int, float))


def _text(mask: Mask, key: str, value: str) -> str:
    found = mask_value(mask, key, value)
    return found if isinstance(found, str) else MASKED if found is None else str(found)
