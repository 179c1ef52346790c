"""Sessions, users, prompts and tags on every span inside."""

import asyncio
import contextvars
import threading
from typing import Any

from opentelemetry import trace

from heliograph.sdk import observe, prompt, session, tags, user
from tests.sdk.conftest import Spans

tracer = trace.get_tracer("test")


def attributes(spans: Spans) -> dict[str, dict[str, Any]]:
    return {span.name: dict(span.attributes or {}) for span in spans.get_finished_spans()}


def test_everything_inside_carries_them_and_nothing_outside(spans: Spans) -> None:
    with session("s-1", user_id="alice"), prompt("support", 3), tags("beta", "eu"):
        with tags("eu", "night"), user("bob"), tracer.start_as_current_span("inner"):
            pass
        with tracer.start_as_current_span("outer", attributes={"session.id": "its own"}):
            pass
    with tracer.start_as_current_span("outside"):
        pass
    found = attributes(spans)
    assert found["inner"] == {
        "session.id": "s-1",
        "user.id": "bob",
        "gen_ai.prompt.name": "support",
        "gen_ai.prompt.version": "3",
        "tag.tags": ("beta", "eu", "night"),
    }
    assert found["outer"]["session.id"] == "its own"
    assert (found["outer"]["user.id"], found["outer"]["tag.tags"]) == ("alice", ("beta", "eu"))
    assert found["outside"] == {}


async def test_tasks_side_by_side_do_not_mix(spans: Spans) -> None:
    @observe(name="answer")
    async def answer(who: str) -> str:
        await asyncio.sleep(0)
        return who

    async def request(who: str) -> str:
        async with session(f"s-{who}"):
            await asyncio.sleep(0)
            return await answer(who)

    assert await asyncio.gather(*(request(who) for who in "abc")) == ["a", "b", "c"]
    found = [dict(span.attributes or {}) for span in spans.get_finished_spans()]
    assert {(each["session.id"], each["output.value"]) for each in found} == {("s-a", "a"), ("s-b", "b"), ("s-c", "c")}


def test_a_thread_that_is_given_the_context_has_them(spans: Spans) -> None:
    def work() -> None:
        with tracer.start_as_current_span("in a thread"):
            pass

    with session("s-1"):
        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
        thread.start()
        thread.join()
    assert attributes(spans)["in a thread"]["session.id"] == "s-1"


def test_one_is_a_decorator_too(spans: Spans) -> None:
    @session("s-1")
    @observe
    def answer() -> None: ...

    answer()
    assert spans.only()[1]["session.id"] == "s-1"


def test_what_has_no_text_marks_nothing_and_raises_nothing(spans: Spans) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    with session([1, 2], user_id=Broken()), tags(Broken(), 7), tracer.start_as_current_span("x"):  # type: ignore[arg-type]  # what a service gives by mistake
        pass
    assert attributes(spans)["x"] == {"session.id": "[1, 2]", "tag.tags": ("7",)}
