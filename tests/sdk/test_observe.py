"""`@observe`: what a call leaves behind, and that the call itself is as it was."""

import asyncio
import inspect
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, Self

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from heliograph.sdk import observe
from heliograph.sdk.rendering import MAX_VALUE_CHARACTERS
from tests.sdk.conftest import Spans


def test_a_function_is_recorded_with_its_arguments_by_name_and_its_result(spans: Spans) -> None:
    class Sums:
        @observe("tool")
        def add(self, a: int, *more: int, b: int) -> int:
            return a + sum(more) + b

    assert Sums().add(2, 5, b=3) == 10
    span, recorded = spans.only()
    assert span.name.endswith("Sums.add")
    assert recorded["openinference.span.kind"] == "TOOL"
    assert json.loads(recorded["input.value"]) == {"a": 2, "more": [5], "b": 3}
    assert recorded["output.value"] == "10"
    assert span.status.status_code is StatusCode.OK


def test_it_works_bare_and_on_static_and_class_methods(spans: Spans) -> None:
    class Words:
        @observe
        @staticmethod
        def shout(word: str) -> str:
            return word.upper()

        @observe(capture_input=False, capture_output=False)
        @classmethod
        def secret(cls, word: str) -> str:
            return cls.__name__ + word

    assert (Words.shout("a"), Words.secret("b")) == ("A", "Wordsb")
    first, second = (dict(span.attributes or {}) for span in spans.get_finished_spans())
    assert first["output.value"] == "A"
    assert set(second) == {"openinference.span.kind"}


async def test_a_coroutine_is_the_parent_of_what_it_awaits(spans: Spans) -> None:
    @observe
    async def inner(word: str) -> str:
        await asyncio.sleep(0)
        return word.upper()

    @observe("agent")
    async def outer() -> list[str]:
        return list(await asyncio.gather(inner("a"), inner("b")))

    assert await outer() == ["A", "B"]
    first, second, parent = spans.get_finished_spans()
    assert first.parent is not None
    assert second.parent is not None
    assert first.parent.span_id == second.parent.span_id == parent.context.span_id


def test_an_exception_passes_through_and_marks_the_span(spans: Spans) -> None:
    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    @observe
    def fail(error: Exception) -> None:
        raise error

    for error in (KeyError("lost"), UnspeakableError()):
        with pytest.raises(type(error)):
            fail(error)
    first, second = spans.get_finished_spans()
    assert first.status.status_code is second.status.status_code is StatusCode.ERROR
    assert first.events[0].name == "exception"
    assert (first.attributes or {})["error.type"] == "KeyError"


async def test_a_cancelled_call_is_marked_as_one(spans: Spans) -> None:
    @observe
    async def wait() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    span, recorded = spans.only()
    assert (span.status.description, recorded["error.type"]) == ("cancelled", "CancelledError")


@observe("llm")
def words(count: int) -> Generator[str, str | None, int]:
    said = 0
    for number in range(count):
        with trace.get_tracer("test").start_as_current_span("step"):
            pass
        said += (yield f"w{number} ") is not None
    return said


def test_a_generator_ends_its_span_with_the_last_part_and_tells_its_times(spans: Spans) -> None:
    assert list(words(3)) == ["w0 ", "w1 ", "w2 "]
    *steps, span = spans.get_finished_spans()
    recorded = dict(span.attributes or {})
    assert recorded["output.value"] == "w0 w1 w2 "
    assert recorded["heliograph.stream.chunks"] == 3
    assert recorded["gen_ai.response.time_to_first_chunk"] > 0
    mean, longest = (
        recorded["gen_ai.client.operation.time_per_output_chunk"],
        recorded["heliograph.stream.longest_wait"],
    )
    assert 0 < mean <= longest
    assert {step.parent.span_id for step in steps if step.parent} == {span.context.span_id}


def test_a_readers_own_time_is_not_the_streams(spans: Spans) -> None:
    for _ in words(3):
        time.sleep(0.05)
        with trace.get_tracer("test").start_as_current_span("of the reader"):
            pass
    *others, span = spans.get_finished_spans()
    assert (span.attributes or {})["heliograph.stream.longest_wait"] < 0.05
    assert all(other.parent is None for other in others if other.name == "of the reader")


def test_send_throw_return_and_close_reach_the_generator(spans: Spans) -> None:
    def relay() -> Iterator[int]:
        return (yield from words(2))

    running = relay()
    assert next(running) == "w0 "
    assert running.send("yes") == "w1 "  # type: ignore[attr-defined]  # it is a generator
    with pytest.raises(StopIteration) as ended:
        next(running)
    assert ended.value.value == 1

    broken = words(2)
    next(broken)
    with pytest.raises(LookupError):
        broken.throw(LookupError("of the reader"))
    left = words(2)
    next(left)
    left.close()
    finished = [span for span in spans.get_finished_spans() if span.name == "words"]
    assert [span.status.status_code for span in finished] == [StatusCode.OK, StatusCode.ERROR, StatusCode.OK]
    assert (finished[2].attributes or {})["heliograph.stream.abandoned"] is True


async def test_an_asynchronous_generator_is_driven_the_same_way(spans: Spans) -> None:
    @observe("llm")
    async def tokens(count: int) -> AsyncGenerator[str, str | None]:
        for number in range(count):
            await asyncio.sleep(0)
            if (yield f"t{number}") == "stop":
                return

    assert inspect.isasyncgenfunction(tokens)
    assert [token async for token in tokens(3)] == ["t0", "t1", "t2"]
    running = tokens(9)
    assert await anext(running) == "t0"
    with pytest.raises(StopAsyncIteration):
        await running.asend("stop")
    left = tokens(9)
    await anext(left)
    await left.aclose()
    whole, stopped, abandoned = (dict(span.attributes or {}) for span in spans.get_finished_spans())
    assert whole["output.value"] == "t0t1t2"
    assert (stopped["heliograph.stream.chunks"], abandoned["heliograph.stream.abandoned"]) == (1, True)


class ChatStream:
    """Looks like a client's stream: an iterator with methods of its own."""

    request_id = "r-1"

    def __init__(self) -> None:
        self.left = 2

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if not self.left:
            raise StopIteration
        self.left -= 1
        return "x"


class AsyncChatStream(ChatStream):
    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None


def test_a_returned_stream_is_timed_and_stays_what_it_was(spans: Spans) -> None:
    @observe("llm")
    def ask() -> Any:
        return ChatStream()

    stream = ask()
    assert spans.get_finished_spans() == ()
    assert stream.request_id == "r-1"
    assert list(stream) == ["x", "x"]
    _, recorded = spans.only()
    assert (recorded["output.value"], recorded["heliograph.stream.chunks"]) == ("xx", 2)


async def test_a_returned_asynchronous_stream_too(spans: Spans) -> None:
    @observe("llm")
    async def ask() -> Any:
        return AsyncChatStream()

    assert [part async for part in await ask()] == ["x", "x"]
    assert spans.only()[1]["heliograph.stream.chunks"] == 2


def test_a_stream_that_nobody_reads_ends_as_it_is_collected(spans: Spans) -> None:
    @observe
    def lazy() -> Any:
        return (each for each in range(3))

    lazy()
    assert spans.only()[1]["heliograph.stream.abandoned"] is True


def test_other_iterators_are_handed_on_untouched(spans: Spans) -> None:
    made = iter([1, 2])

    @observe
    def plain() -> Any:
        return made

    assert plain() is made


def test_functions_stay_of_their_sort() -> None:
    async def coroutine() -> None: ...

    assert inspect.isgeneratorfunction(words)
    assert inspect.iscoroutinefunction(observe(coroutine))
    assert inspect.signature(words).parameters.keys() == {"count"}


class Hostile:
    """Raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    @property
    def shape(self) -> Any:
        raise KeyError("no")


def test_arguments_that_cannot_be_shown_or_are_huge_harm_nobody(spans: Spans) -> None:
    class Endless(dict[str, int]):
        def items(self) -> Any:
            return ((str(number), number) for number in iter(int, 1))

    ring: list[Any] = []
    ring.append(ring)

    @observe
    def keep(*values: Any) -> int:
        return len(values)

    for value in (Hostile(), Endless(), ring, "x" * 10**6, [0] * 10**7, {"a": {Hostile(): b"\xff"}}, object):
        assert keep(value) == 1
    found = [(span.attributes or {})["input.value"] for span in spans.get_finished_spans()]
    assert len(found) == 7
    assert all(isinstance(text, str) and len(text) <= MAX_VALUE_CHARACTERS for text in found)
    assert "9999900 more" in found[4]


def test_arguments_are_not_looked_at_where_the_trace_is_not_sampled() -> None:
    class Watched:
        seen = False

        def __repr__(self) -> str:
            self.seen = True
            return ""

    value, context = Watched(), trace.SpanContext(1, 1, is_remote=True, trace_flags=trace.TraceFlags(0))
    with trace.use_span(trace.NonRecordingSpan(context)):
        observe(lambda each: each)(value)
    assert not value.seen
