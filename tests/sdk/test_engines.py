"""What engines tell in their answers reaches the canonical fields of the span."""

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from heliograph.query.timing import TimedCall, split
from heliograph.sdk import on_async_response, on_response, record_llama_cpp, record_ollama
from tests.collectors.build import row_of

MS = 10**6
OLLAMA = {
    "model": "qwen3:8b",
    "done": True,
    "total_duration": 5_000_000_000,
    "load_duration": 2_000_000_000,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 342_546_000,
    "eval_count": 282,
    "eval_duration": 2_535_599_000,
}
LLAMA_CPP = {
    "timings": {
        "prompt_n": 10,
        "cache_n": 90,
        "prompt_ms": 30.5,
        "predicted_n": 40,
        "predicted_ms": 800.0,
        "draft_n": 5,
    }
}
LORAX = {
    "x-queue-time": "12",
    "x-inference-time": "900",
    "x-time-to-first-token": "60",
    "x-prompt-tokens": "31",
    "x-generated-tokens": "50",
    "x-adapter-id": "org/support",
    "set-cookie": "secret",
}


class Recorder:
    """A span that is current, and the row that the platform makes of it."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def span(self) -> Any:
        return self.provider.get_tracer("test").start_as_current_span(
            "chat", attributes={"gen_ai.operation.name": "chat"}
        )

    @property
    def row(self) -> dict[str, Any]:
        [span] = self.exporter.get_finished_spans()
        return row_of(
            {key: list(value) if isinstance(value, tuple) else value for key, value in span.attributes.items()}
        )


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.mark.parametrize("answer", [OLLAMA, SimpleNamespace(**OLLAMA), SimpleNamespace(model_dump=lambda: OLLAMA)])
def test_an_answer_of_ollama_gives_tokens_and_times(recorder: Recorder, answer: Any) -> None:
    with recorder.span():
        record_ollama(answer)
    row = recorder.row
    assert (row["model"], row["input_tokens"], row["output_tokens"]) == ("qwen3:8b", 26, 282)
    assert (row["prefill_ns"], row["decode_ns"]) == (pytest.approx(342_546_000), pytest.approx(2_535_599_000))
    assert float(row["attributes"]["ollama.load_duration"]) == pytest.approx(2.0)


def test_the_timings_of_llama_cpp_count_the_cached_tokens_once(recorder: Recorder) -> None:
    with recorder.span() as span:
        record_llama_cpp(LLAMA_CPP, span)
    row = recorder.row
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"]) == (100, 90, 40)
    assert (row["prefill_ns"], row["decode_ns"]) == (pytest.approx(30.5 * MS), pytest.approx(800 * MS))


def test_the_headers_of_lorax_come_with_the_http_client(recorder: Recorder) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=LORAX, json={}))
    with recorder.span(), httpx.Client(transport=transport, event_hooks={"response": [on_response]}) as client:
        client.post("http://lorax/v1/chat/completions", json={})
    row = recorder.row
    assert (row["input_tokens"], row["output_tokens"], row["adapter"]) == (31, 50, "org/support")
    assert "secret" not in str(row["attributes"])
    found = split(TimedCall(duration_ns=1_000 * MS, output_tokens=50, attributes=row["attributes"]))
    assert (found.of("queue"), found.of("prefill"), found.ttft_ns) == (12 * MS, 48 * MS, 60 * MS)


async def test_and_with_an_asynchronous_one(recorder: Recorder) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=LORAX, json={}))
    with recorder.span():
        async with httpx.AsyncClient(transport=transport, event_hooks={"response": [on_async_response]}) as client:
            await client.get("http://lorax/")
    assert recorder.row["adapter"] == "org/support"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["timings", *OLLAMA, *LLAMA_CPP["timings"]]), x),
        max_leaves=10,
    )
)
def test_nothing_raises_whatever_an_answer_is(answer: Any) -> None:
    recorder = Recorder()
    with recorder.span():
        record_ollama(answer)
        record_llama_cpp(answer)
        on_response(answer)
    assert recorder.row["kind"] == "llm"
