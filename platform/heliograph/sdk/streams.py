"""Generators and streams driven step by step, so that each part is timed and the span ends with the last one.

The wrapped function's body runs with the span as parent; its reader's code, between two parts, does not.
"""

import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from heliograph.sdk.recording import Recording


def drive(inner: Generator[Any, Any, Any], recording: Recording) -> Generator[Any, Any, Any]:
    """Yield what a generator yields; send, throw, close and its return value pass through."""
    step: Callable[[], Any] = lambda: next(inner)  # noqa: E731  # replaced below by what the reader does
    try:
        while True:
            began = time.perf_counter()
            try:
                with recording.active():
                    item = step()
            except StopIteration as stop:
                recording.stream_end(complete=True)
                return stop.value
            recording.chunk(item, time.perf_counter() - began)
            try:
                sent = yield item
            except GeneratorExit:
                with recording.active():
                    inner.close()
                raise
            except BaseException as error:  # noqa: BLE001  # whatever the reader throws in
                step = _thrower(inner, error)
            else:
                step = (lambda: next(inner)) if sent is None else _sender(inner, sent)
    except GeneratorExit:
        recording.stream_end(complete=False)
        raise
    except BaseException as error:
        recording.failure(error)
        raise


def async_driver(
    start: Callable[..., tuple[AsyncGenerator[Any, Any], Recording]],
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """Return an asynchronous generator function over what `start` makes of its arguments.

    asend, athrow and aclose pass through. A function of this kind, and no object, so that who asks `inspect` what an
    observed function is gets the answer that holds for the original.
    """

    async def driver(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner, recording = start(*args, **kwargs)
        step: Callable[[], Awaitable[Any]] = lambda: anext(inner)  # noqa: E731  # as above
        try:
            while True:
                began = time.perf_counter()
                try:
                    with recording.active():
                        item = await step()
                except StopAsyncIteration:
                    recording.stream_end(complete=True)
                    return
                recording.chunk(item, time.perf_counter() - began)
                try:
                    sent = yield item
                except GeneratorExit:
                    with recording.active():
                        await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001  # whatever the reader throws in
                    step = _async_thrower(inner, error)
                else:
                    step = _async_sender(inner, sent)
        except GeneratorExit:
            recording.stream_end(complete=False)
            raise
        except BaseException as error:
            recording.failure(error)
            raise

    return driver


def _sender(inner: Generator[Any, Any, Any], value: Any) -> Callable[[], Any]:
    return lambda: inner.send(value)


def _thrower(inner: Generator[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: inner.throw(error)


def _async_sender(inner: AsyncGenerator[Any, Any], value: Any) -> Callable[[], Awaitable[Any]]:
    return lambda: inner.asend(value)


def _async_thrower(inner: AsyncGenerator[Any, Any], error: BaseException) -> Callable[[], Awaitable[Any]]:
    return lambda: inner.athrow(error)


_PLAIN = frozenset({str, int, float, bool, type(None), dict, list, tuple})


def watched(result: Any, recording: Recording, *, stream: bool | None) -> Any:
    """Return a result that ends the recording when it has been read, or end it now and return the result itself.

    Generators are always read on; another iterator where `stream` says so, or, where it says nothing, where its type is
    called a stream, as those of OpenAI, Anthropic and Mistral are. The span ends at the latest as the stream is
    collected.
    """
    if type(result) in _PLAIN:  # nearly all, so looked at first
        recording.result(result)
        return result
    found: Any
    if stream is not False and isinstance(result, GeneratorType):
        found = drive(result, recording)
    elif stream is not False and isinstance(result, AsyncGeneratorType):
        found = async_driver(lambda: (result, recording))()
    elif stream or (stream is None and "Stream" in type(result).__name__):
        if hasattr(result, "__anext__"):
            found = ObservedAsyncStream(result, recording)
        elif hasattr(result, "__next__"):
            found = ObservedStream(result, recording)
        else:
            recording.result(result)
            return result
    else:
        recording.result(result)
        return result
    weakref.finalize(found, recording.abandon)
    return found


class _Observed:
    """A stream that is otherwise itself: whatever else is asked of it is asked of the original."""

    def __init__(self, inner: Any, recording: Recording) -> None:
        self._heliograph_inner, self._heliograph_recording = inner, recording

    def __getattr__(self, name: str) -> Any:
        return getattr(self._heliograph_inner, name)


class ObservedStream(_Observed):
    """An iterator."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        recording, began = self._heliograph_recording, time.perf_counter()
        try:
            with recording.active():
                item = next(self._heliograph_inner)
        except StopIteration:
            recording.stream_end(complete=True)
            raise
        except BaseException as error:
            recording.failure(error)
            raise
        recording.chunk(item, time.perf_counter() - began)
        return item

    def __enter__(self) -> Any:
        entered = self._heliograph_inner.__enter__()
        return self if entered is self._heliograph_inner else entered

    def __exit__(self, *error: Any) -> Any:
        try:
            return self._heliograph_inner.__exit__(*error)
        finally:
            self._heliograph_recording.stream_end(complete=False)

    def close(self) -> None:
        """Close the original and end the span."""
        try:
            self._heliograph_inner.close()
        finally:
            self._heliograph_recording.stream_end(complete=False)


class ObservedAsyncStream(_Observed):
    """An asynchronous iterator."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        recording, began = self._heliograph_recording, time.perf_counter()
        try:
            with recording.active():
                item = await anext(self._heliograph_inner)
        except StopAsyncIteration:
            recording.stream_end(complete=True)
            raise
        except BaseException as error:
            recording.failure(error)
            raise
        recording.chunk(item, time.perf_counter() - began)
        return item

    async def __aenter__(self) -> Any:
        entered = await self._heliograph_inner.__aenter__()
        return self if entered is self._heliograph_inner else entered

    async def __aexit__(self, *error: Any) -> Any:
        try:
            return await self._heliograph_inner.__aexit__(*error)
        finally:
            self._heliograph_recording.stream_end(complete=False)

    async def close(self) -> None:
        """Close the original and end the span."""
        try:
            await self._heliograph_inner.close()
        finally:
            self._heliograph_recording.stream_end(complete=False)
