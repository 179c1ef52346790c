"""What Heliograph's SDK costs a service per span, beside the bare OpenTelemetry SDK: `python benchmarks/sdk.py`.

Every variant runs in the same process in turns, many short rounds each. `us a span` is CPU time of the caller's thread,
the middle of the fastest tenth of its rounds: what is left is the work, not what else the machine did. `wall` is the
median round by the clock. The exporter takes spans and throws them away: no network. Spans have no parent.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import set_tracer_provider

from heliograph.sdk import observe, session, tags
from heliograph.sdk.contexts import ContextSpanProcessor
from heliograph.sdk.export import SpanSender
from heliograph.sdk.rendering import text_of


class Nowhere(SpanExporter):
    """Takes everything at once."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def bare() -> TracerProvider:
    """OpenTelemetry as its guide sets it up."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Nowhere(), max_queue_size=100_000))
    return provider


def ours() -> TracerProvider:
    """As `init()` sets it up."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(ContextSpanProcessor())
    provider.add_span_processor(SpanSender(Nowhere, most_spans=100_000, most_bytes=2**30))
    return provider


QUESTION, ANSWER = "What does the warranty cover? " * 10, "It covers the battery for two years. " * 10


def variants() -> dict[str, Callable[[], object]]:
    """Return what is measured; each call makes one span."""
    theirs, own = bare().get_tracer("bench"), ours()
    set_tracer_provider(own)
    tracer = own.get_tracer("bench")

    def answer(question: str, top_k: int = 3) -> str:
        return ANSWER

    observed = observe("llm")(answer)
    fields = {"openinference.span.kind": "LLM", "input.value": text_of({"question": QUESTION, "top_k": 3})}

    def plain_span() -> None:
        with theirs.start_as_current_span("answer"):
            answer(QUESTION, top_k=3)

    def by_hand() -> None:
        with theirs.start_as_current_span("answer", attributes=fields) as span:
            span.set_attribute("output.value", answer(QUESTION, top_k=3))

    def our_span() -> None:
        with tracer.start_as_current_span("answer"):
            answer(QUESTION, top_k=3)

    def in_session() -> None:
        with session("s-1", user_id="alice"), tags("beta"), tracer.start_as_current_span("answer"):
            answer(QUESTION, top_k=3)

    return {
        "no span": lambda: answer(QUESTION, top_k=3),
        "OpenTelemetry, a span": plain_span,
        "OpenTelemetry, a span with three attributes": by_hand,
        "Heliograph, a span": our_span,
        "Heliograph, a span in session() and tags()": in_session,
        "Heliograph, @observe with arguments and result": lambda: observed(QUESTION, top_k=3),
    }


def microseconds(call: Callable[[], object], count: int) -> tuple[float, float]:
    """Return the mean CPU time and wall time of a call in microseconds."""
    wall, cpu = time.perf_counter(), time.thread_time()
    for _ in range(count):
        call()
    return (time.thread_time() - cpu) / count * 1e6, (time.perf_counter() - wall) / count * 1e6


def main() -> None:
    """Print a line a variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calls", type=int, default=200, help="of one round")
    options = parser.parse_args()
    measured = variants()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in measured}
    for _ in range(options.rounds):
        for name, call in measured.items():
            times[name].append(microseconds(call, options.calls))
    best = {
        name: statistics.median(sorted(cpu for cpu, _ in each)[: len(each) // 10 + 1]) for name, each in times.items()
    }
    wall = {name: statistics.median(wall for _, wall in each) for name, each in times.items()}
    print(f"{'':48}{'us a span':>10}{'wall':>8}   against OpenTelemetry's own")
    for name in list(measured)[1:]:
        cost = best[name] - best["no span"]
        peer = "OpenTelemetry, a span with three attributes" if "@observe" in name else "OpenTelemetry, a span"
        beside = best[peer] - best["no span"]
        print(
            f"{name:48}{cost:10.1f}{wall[name] - wall['no span']:8.1f}   {cost / beside:.2f}x, {cost - beside:+.1f} us"
        )


if __name__ == "__main__":
    main()
