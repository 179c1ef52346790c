"""One observed call: its span, made without ever raising into the caller."""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Token
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, Tracer

from heliograph.sdk.rendering import MAX_VALUE_CHARACTERS, text_of

logger = logging.getLogger("heliograph.sdk")

_OK = Status(StatusCode.OK)
_SHORT = MAX_VALUE_CHARACTERS


class Recording:
    """The span of one call. Every method swallows and logs its own failures, and `end` may be called twice."""

    __slots__ = ("_context", "_ended", "_keeps_output", "_span", "_started_s", "_stream")

    def __init__(self, tracer: Tracer, name: str, attributes: Mapping[str, Any], *, keeps_output: bool) -> None:
        self._keeps_output = keeps_output
        self._ended = False
        # Made with the first part: most calls return no stream, and pay nothing for one.
        self._stream: _Parts | None = None
        self._started_s = time.perf_counter()
        try:
            self._span: Span = tracer.start_span(name, attributes=attributes)
            self._context: Context | None = trace.set_span_in_context(self._span)
        except Exception:  # telemetry must not break what it watches
            logger.debug("heliograph: a span could not be started", exc_info=True)
            self._span, self._context = trace.INVALID_SPAN, None

    @property
    def is_recording(self) -> bool:
        """Whether anybody will read the span: False where it was not sampled."""
        return self._span.is_recording()

    def set(self, key: str, value: object) -> None:
        """Put a value on the span as text."""
        if self._span.is_recording():
            self._span.set_attribute(key, value if type(value) is str and len(value) < _SHORT else text_of(value))

    def enter(self) -> Token[Context] | None:
        """Make the span the parent of what starts until `leave`; a `with active()` at a third of its cost."""
        return None if self._context is None else otel_context.attach(self._context)

    @staticmethod
    def leave(token: Token[Context] | None) -> None:
        """Undo `enter`."""
        if token is not None:
            otel_context.detach(token)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the span the parent of what starts inside."""
        token = self.enter()
        try:
            yield
        finally:
            self.leave(token)

    def result(self, value: object) -> None:
        """End a call that returned."""
        if self._keeps_output:
            self.set("output.value", value)
        self._end(_OK)

    def failure(self, error: BaseException) -> None:
        """End a call that raised; a cancelled one too, since nobody got its answer."""
        if self._ended or not self._span.is_recording():
            self._end(None)
            return
        kind = type(error).__qualname__
        try:
            self._span.set_attribute("error.type", kind)
            if isinstance(error, asyncio.CancelledError):
                self._stream_attributes()
                self._end(Status(StatusCode.ERROR, "cancelled"))
                return
            self._span.record_exception(error)
            message = f"{kind}: {error}"[:MAX_VALUE_CHARACTERS]
        except Exception:  # an exception's own text may raise
            logger.debug("heliograph: an exception could not be recorded", exc_info=True)
            message = kind
        self._stream_attributes()
        self._end(Status(StatusCode.ERROR, message))

    def chunk(self, value: object, waited_s: float) -> None:
        """Note a part of a stream, and how long the stream took to bring it."""
        parts = self._stream
        if parts is None:
            parts = self._stream = _Parts(time.perf_counter() - self._started_s)
        else:
            parts.count += 1
            parts.waited_s += waited_s
            parts.longest_s = max(parts.longest_s, waited_s)
        if self._keeps_output and parts.left > 0:
            text = _chunk_text(value)[: parts.left]
            parts.left -= len(text)
            parts.texts.append(text)

    def stream_end(self, *, complete: bool) -> None:
        """End a stream: at its last part, or where its reader left it."""
        if self._ended:
            return
        self._stream_attributes()
        if not complete:
            self._span.set_attribute("heliograph.stream.abandoned", True)
        self._end(_OK)

    def abandon(self) -> None:
        """End a stream that nobody will read on, if it has not ended: called as it is collected."""
        self.stream_end(complete=False)

    def _stream_attributes(self) -> None:
        parts = self._stream
        if parts is None:
            return
        found: dict[str, Any] = {
            "heliograph.stream.chunks": parts.count,
            "gen_ai.response.time_to_first_chunk": parts.first_s,
        }
        if parts.count > 1:
            found["gen_ai.client.operation.time_per_output_chunk"] = parts.waited_s / (parts.count - 1)
            found["heliograph.stream.longest_wait"] = parts.longest_s
        if self._keeps_output:
            found["output.value"] = "".join(parts.texts)
        self._span.set_attributes(found)

    def _end(self, status: Status | None) -> None:
        if self._ended:
            return
        self._ended = True
        try:
            if status is not None:
                self._span.set_status(status)
            self._span.end()
        except Exception:  # another processor of the user's may raise
            logger.debug("heliograph: a span could not be ended", exc_info=True)


class _Parts:
    """The parts of a stream so far; `first_s` is the time to the first."""

    __slots__ = ("count", "first_s", "left", "longest_s", "texts", "waited_s")

    def __init__(self, first_s: float) -> None:
        self.count, self.first_s = 1, first_s
        self.waited_s = self.longest_s = 0.0
        self.texts: list[str] = []
        self.left = MAX_VALUE_CHARACTERS


def _chunk_text(value: Any) -> str:
    """Return the text of a part of a stream: a text itself, or what OpenAI's and Anthropic's parts hold of it."""
    if isinstance(value, str):
        return value
    try:
        choices = getattr(value, "choices", None)
        if choices:
            content = getattr(getattr(choices[0], "delta", None), "content", None) or getattr(choices[0], "text", None)
            return content if isinstance(content, str) else ""
        delta = getattr(value, "delta", None)
        if isinstance(delta, str):  # OpenAI's responses
            return delta
        text = getattr(delta, "text", None)
        if isinstance(text, str):
            return text
        known = hasattr(value, "choices") or isinstance(getattr(value, "type", None), str)
    except Exception:  # noqa: BLE001  # a foreign object's attributes may raise anything
        return ""
    return "" if known else text_of(value) + "\n"
