"""Spans for one's own functions, and the session that they belong to."""

import inspect
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import Status, StatusCode

P = ParamSpec("P")
T = TypeVar("T")

# Enough to read, too little to fill a disk with one careless argument.
MAX_VALUE_CHARACTERS = 20_000

_session: ContextVar[dict[str, str]] = ContextVar("heliograph_session", default={})  # noqa: B039  # never changed in place


@contextmanager
def session(session_id: str, *, user_id: str = "") -> Iterator[None]:
    """Mark every span started inside with `session.id` and `user.id`."""
    values = {"session.id": session_id} | ({"user.id": user_id} if user_id else {})
    token = _session.set(values)
    try:
        yield
    finally:
        _session.reset(token)


class SessionSpanProcessor(SpanProcessor):
    """Writes the current session on each span as it starts."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Set the attributes."""
        for key, value in _session.get().items():
            span.set_attribute(key, value)

    def on_end(self, span: ReadableSpan) -> None:
        """Leave ended spans alone."""


def observe(kind: str = "chain", name: str = "") -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Record each call of a function, sync or async, as a span with its arguments and result.

    Args:
        kind: agent, chain, llm, embedding, retriever, reranker, tool, guardrail or evaluator.
        name: the span's name; else the function's.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        tracer = trace.get_tracer("heliograph.sdk")
        span_name = name or function.__qualname__

        @contextmanager
        def recording(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Callable[[Any], None]]:
            attributes = {"openinference.span.kind": kind.upper(), "input.value": _text({"args": args, **kwargs})}
            with tracer.start_as_current_span(span_name, attributes=attributes) as span:
                yield lambda result: span.set_attribute("output.value", _text(result))
                span.set_status(Status(StatusCode.OK))

        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def observed_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                with recording(args, kwargs) as finish:
                    result = await cast("Awaitable[Any]", function(*args, **kwargs))
                    finish(result)
                    return result

            return cast("Callable[P, T]", observed_coroutine)

        @wraps(function)
        def observed(*args: P.args, **kwargs: P.kwargs) -> T:
            with recording(args, kwargs) as finish:
                result = function(*args, **kwargs)
                finish(result)
                return result

        return observed

    return decorate


def _text(value: object) -> str:
    """Return a value as text for an attribute: strings as they are, the rest as JSON, both bounded."""
    text = value if isinstance(value, str) else json.dumps(value, default=repr, ensure_ascii=False)
    return text[:MAX_VALUE_CHARACTERS]
