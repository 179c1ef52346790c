"""`@observe`: spans for one's own functions."""

import inspect
import logging
from collections.abc import Callable, Generator
from functools import wraps
from typing import Any, TypeVar, overload

from opentelemetry import trace

import heliograph
from heliograph.sdk.recording import Recording
from heliograph.sdk.streams import async_driver, drive, watched

logger = logging.getLogger("heliograph.sdk")

F = TypeVar("F", bound=Callable[..., Any])
Begin = Callable[[tuple[Any, ...], dict[str, Any]], Recording]

KINDS = frozenset({"agent", "chain", "llm", "embedding", "retriever", "reranker", "tool", "guardrail", "evaluator"})


@overload
def observe(kind: F, /) -> F: ...


@overload
def observe(
    kind: str = "chain",
    name: str = "",
    *,
    capture_input: bool = True,
    capture_output: bool = True,
    stream: bool | None = None,
) -> Callable[[F], F]: ...


def observe(
    kind: Any = "chain",
    name: str = "",
    *,
    capture_input: bool = True,
    capture_output: bool = True,
    stream: bool | None = None,
) -> Any:
    """Record each call of a function as a span with its arguments and result, as `@observe` or `@observe("tool")`.

    Functions may be plain, coroutines, generators or asynchronous generators. Of a generator, and of a stream that a
    function returns, the span ends with its last part and tells the time to the first part and the mean and longest
    wait for each later one. What the function raises passes through and marks the span.

    Args:
        kind: agent, chain, llm, embedding, retriever, reranker, tool, guardrail or evaluator.
        name: the span's name; else the function's.
        capture_input: keep the arguments (`self` and `cls` never are).
        capture_output: keep the result.
        stream: whether a returned iterator is a stream; None goes by its type, see docs/sdk.md.
    """
    if callable(kind):
        return _Observer("chain", "", capture_input=True, capture_output=True, stream=None).wrap(kind)
    if kind not in KINDS:
        logger.warning("heliograph: %r is no kind of span; there are %s", kind, ", ".join(sorted(KINDS)))
    return _Observer(str(kind), name, capture_input=capture_input, capture_output=capture_output, stream=stream).wrap


class _Observer:
    """Wraps functions, each into one of its own sort, so that `inspect` answers as for the original."""

    def __init__(self, kind: str, name: str, *, capture_input: bool, capture_output: bool, stream: bool | None) -> None:
        self._attributes = {"openinference.span.kind": kind.upper()}
        self._name = name
        self._capture_input, self._capture_output, self._stream = capture_input, capture_output, stream

    def wrap(self, function: Any) -> Any:
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(self.wrap(function.__func__))
        begin = self._beginner(function)
        if inspect.iscoroutinefunction(function):
            return wraps(function)(self._coroutine(function, begin))
        if inspect.isasyncgenfunction(function):
            return wraps(function)(
                async_driver(lambda *args, **kwargs: (function(*args, **kwargs), begin(args, kwargs)))
            )
        if inspect.isgeneratorfunction(function):
            return wraps(function)(_generator(function, begin))
        return wraps(function)(self._plain(function, begin))

    def _beginner(self, function: Any) -> Begin:
        """Return what starts the recording of a call."""
        # The version goes with the scope; a proxy until a provider is set, so decorating before `init` works.
        tracer = trace.get_tracer("heliograph.sdk", heliograph.__version__)
        span_name = self._name or getattr(function, "__qualname__", type(function).__name__)
        names = _Names(function)

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recording:
            recording = Recording(tracer, span_name, self._attributes, keeps_output=self._capture_output)
            if self._capture_input and recording.is_recording:
                recording.set("input.value", names.of(args, kwargs))
            return recording

        return begin

    def _coroutine(self, function: Any, begin: Begin) -> Any:
        async def observed(*args: Any, **kwargs: Any) -> Any:
            recording = begin(args, kwargs)
            token = recording.enter()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                recording.failure(error)
                raise
            finally:
                recording.leave(token)
            return watched(result, recording, stream=self._stream)

        return observed

    def _plain(self, function: Any, begin: Begin) -> Any:
        def observed(*args: Any, **kwargs: Any) -> Any:
            recording = begin(args, kwargs)
            token = recording.enter()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                recording.failure(error)
                raise
            finally:
                recording.leave(token)
            return watched(result, recording, stream=self._stream)

        return observed


def _generator(function: Any, begin: Begin) -> Any:
    def observed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        return (yield from drive(function(*args, **kwargs), begin(args, kwargs)))

    return observed


class _Names:
    """The names of a function's positional parameters, looked up once."""

    def __init__(self, function: Any) -> None:
        self._names: tuple[str, ...] = ()
        self._rest = "args"
        self._is_bound = False
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # some built-in functions have none
            return
        by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._names = tuple(each.name for each in parameters if each.kind in by_position)
        self._is_bound = self._names[:1] in (("self",), ("cls",))
        self._rest = next((each.name for each in parameters if each.kind is inspect.Parameter.VAR_POSITIONAL), "args")

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return a call's arguments by their names, without `self` and `cls`."""
        found = dict(zip(self._names, args, strict=False))
        if self._is_bound:
            found.pop(self._names[0], None)
        if len(args) > len(self._names):
            found[self._rest] = args[len(self._names) :]
        found.update(kwargs)
        return found
