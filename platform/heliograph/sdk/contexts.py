"""What every span started inside carries: a session, a user, a prompt, tags.

They stand in OpenTelemetry's own context, so they go where spans go: into coroutines and tasks, and into threads where
the context is carried there. They do not leave the process: a user's id is nobody else's business.
"""

import logging
from collections.abc import Mapping
from contextlib import ContextDecorator
from contextvars import Token
from types import MappingProxyType
from typing import Any, Self

from opentelemetry import context as otel_context
from opentelemetry.context import Context, create_key
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

logger = logging.getLogger("heliograph.sdk")

_KEY = create_key("heliograph-attributes")
_TAGS = "tag.tags"
# As the server's own bounds of such fields; more is a text in the wrong place.
_MAX_CHARACTERS = 500
_MAX_TAGS = 50


class Scope(ContextDecorator):
    """`with`, `async with`, or a decorator of a function. Inner scopes go first; tags add up."""

    __slots__ = ("_attributes", "_tokens")

    def __init__(self, attributes: dict[str, Any]) -> None:
        self._attributes = attributes
        self._tokens: list[Token[Context]] = []

    def __enter__(self) -> Self:
        """Begin."""
        try:
            context = otel_context.get_current()
            outer: Any = context.get(_KEY)
            merged = {**outer, **self._attributes} if outer else self._attributes
            if outer and _TAGS in outer and _TAGS in self._attributes:
                merged[_TAGS] = tuple(dict.fromkeys((*outer[_TAGS], *self._attributes[_TAGS])))[:_MAX_TAGS]
            self._tokens.append(otel_context.attach(Context({**context, _KEY: merged})))
        except Exception:  # telemetry must not break what it watches
            logger.debug("heliograph: a context could not be entered", exc_info=True)
        return self

    def __exit__(self, *_: object) -> None:
        """End; an exception goes on."""
        if self._tokens:
            otel_context.detach(self._tokens.pop())

    async def __aenter__(self) -> Self:
        """Begin, in a coroutine."""
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        """End, in a coroutine."""
        self.__exit__()


def session(session_id: str, *, user_id: str = "") -> Scope:
    """Mark every span started inside with `session.id`, and `user.id` where one is given."""
    return Scope(_texts("session.id", session_id, "user.id", user_id))


def user(user_id: str) -> Scope:
    """Mark every span started inside with `user.id`."""
    return Scope(_texts("user.id", user_id))


def prompt(name: str, version: str | int = "") -> Scope:
    """Mark every span started inside with the prompt that it works with, and its version."""
    return Scope(_texts("gen_ai.prompt.name", name, "gen_ai.prompt.version", version))


def tags(*names: str) -> Scope:
    """Mark every span started inside with tags, beside those of the contexts around."""
    return Scope({_TAGS: tuple([text for name in names if (text := _text(name))][:_MAX_TAGS])})


class ContextSpanProcessor(SpanProcessor):
    """Writes the current scopes on each span as it starts; what the span brings itself goes first."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Set the attributes."""
        try:
            found = otel_context.get_value(_KEY, parent_context)
            if not isinstance(found, dict):
                return
            own = plain(span.attributes)
            # One by one: set_attributes() looks into its dict as into a value, at twice the cost.
            for key, value in found.items():
                if key not in own:
                    span.set_attribute(key, value)
        except Exception:  # telemetry must not break what it watches
            logger.debug("heliograph: a span could not be marked", exc_info=True)

    def on_end(self, span: ReadableSpan) -> None:
        """Leave ended spans alone."""


def plain(attributes: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return a span's attributes as a dict: reading them where they are takes a lock, or an exception, for each."""
    return attributes.copy() if isinstance(attributes, MappingProxyType) else attributes or {}


def _texts(key: str, value: object, other_key: str = "", other: object = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    if text := _text(value):
        found[key] = text
    if text := _text(other):
        found[other_key] = text
    return found


def _text(value: object) -> str:
    """Return what somebody gave as a short text, "" where it is nothing or has none."""
    if type(value) is str:
        return value[:_MAX_CHARACTERS]
    if value is None:
        return ""
    try:
        return str(value)[:_MAX_CHARACTERS]
    except Exception:  # its own method may raise, and telemetry must not break what it watches
        logger.debug("heliograph: a context's value has no text", exc_info=True)
        return ""
