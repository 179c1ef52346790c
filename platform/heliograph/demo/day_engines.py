"""The two engines of a scripted day: their spans, their callers' spans, and their metrics as vLLM names them.

- `spans(day) -> Iterator[list[ReadableSpan]]`: a trace a request
- `metrics(day, *, every_s=15) -> Iterator[ExportMetricsServiceRequest]`: what a scraper of both engines would send
"""

import bisect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from heliograph.demo.articles import ARTICLES
from heliograph.demo.day import ENGINES, HOST, SECOND, Day, EngineScript, ScriptedRequest
from heliograph.demo.traces import Recorder

VERSION = "0.33.0"
CALLER = "assistant-api"
# vLLM's own bounds, shortened; seconds.
BOUNDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48)
# More requests than this run together in neither engine.
MAX_RUNNING = 64
MS = 1_000_000
_CUMULATIVE = pb.AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


@cache
def _recorders() -> tuple[Recorder, dict[str, Recorder]]:
    caller = Recorder.of(CALLER, "2.1.0")
    return caller, {engine.name: Recorder.of(engine.name, VERSION, **_place_of(engine)) for engine in ENGINES}


def _place_of(engine: EngineScript) -> dict[str, str | int]:
    return {"host.name": HOST, "process.pid": engine.pid, "service.instance.id": engine.instance}


def spans(day: Day) -> Iterator[list[ReadableSpan]]:
    """Yield the traces of the day, by arrival: the caller's span and the engine's below it."""
    caller, served = _recorders()
    for one in day.requests:
        _record(caller, served[one.engine.name], one)
        found: list[ReadableSpan] = []
        for recorder in (caller, served[one.engine.name]):
            found += recorder.exporter.get_finished_spans()
            recorder.exporter.clear()
        yield found


def _record(caller: Recorder, served: Recorder, one: ScriptedRequest) -> None:
    article = ARTICLES[one.number % len(ARTICLES)]
    engine = one.engine
    asked = f"{engine.model}:{one.adapter}" if one.adapter else engine.model
    question = [{"role": "user", "parts": [{"type": "text", "content": article.questions[0]}]}]
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": article.right}], "finish_reason": "stop"}]
    call = caller.start(f"chat {asked}", one.arrived_ns - 2 * MS, None, SpanKind.CLIENT, gen_ai__operation__name="chat")
    call.set_attributes(
        {
            "tenant.id": one.tenant,
            "user.id": f"{one.tenant}-user-{one.number % 7}",
            "gen_ai.provider.name": "vllm",
            "gen_ai.request.model": asked,
            "gen_ai.response.model": engine.model,
            "server.address": HOST,
            "server.port": engine.port,
            "gen_ai.input.messages": json.dumps(question),
            "gen_ai.output.messages": json.dumps(answer),
            "gen_ai.usage.input_tokens": one.input_tokens,
            "gen_ai.usage.output_tokens": one.output_tokens,
            "gen_ai.response.time_to_first_chunk": (one.first_token_ns - one.arrived_ns) / SECOND + 0.004,
        }
    )
    if one.adapter:
        call.set_attribute("lora.adapter", one.adapter)
    span = served.start("llm_request", one.arrived_ns, call, SpanKind.SERVER)
    span.set_attributes(
        {
            "gen_ai.response.model": engine.model,
            "gen_ai.request.id": f"cmpl-{engine.pid}-{one.number}",
            "gen_ai.usage.prompt_tokens": one.input_tokens,
            "gen_ai.usage.completion_tokens": one.output_tokens,
            "gen_ai.latency.time_in_queue": one.queue_ns / SECOND,
            "gen_ai.latency.time_to_first_token": (one.first_token_ns - one.arrived_ns) / SECOND,
            "gen_ai.latency.time_in_model_prefill": (one.first_token_ns - one.started_ns) / SECOND,
            "gen_ai.latency.time_in_model_decode": (one.end_ns - one.first_token_ns) / SECOND,
            "gen_ai.latency.e2e": (one.end_ns - one.arrived_ns) / SECOND,
        }
    )
    if one.adapter:
        span.set_attribute("lora.adapter", one.adapter)
    span.end(one.end_ns)
    call.end(one.end_ns + 3 * MS)


def metrics(day: Day, *, every_s: float = 15.0) -> Iterator[ExportMetricsServiceRequest]:
    """Yield one export a scrape of both engines; counters begin with the day."""
    scripts = [_EngineMetrics(day, engine) for engine in ENGINES]
    for tick in range(round(day.length_s / every_s)):
        at_ns = day.start_ns + round(tick * every_s * SECOND)
        request = ExportMetricsServiceRequest()
        for script in scripts:
            script.add(request, at_ns)
        yield request


class _EngineMetrics:
    """One engine's counters, told at rising moments."""

    def __init__(self, day: Day, engine: EngineScript) -> None:
        self._day = day
        self._engine = engine
        self._of = [one for one in day.requests if one.engine is engine]
        self._by_end = sorted(self._of, key=lambda one: one.end_ns)
        self._next = 0
        self._histograms = {name: [0] * (len(BOUNDS) + 1) for name in _HISTOGRAMS}
        self._sums = dict.fromkeys(_HISTOGRAMS, 0.0)
        self._prompt = self._output = 0

    def add(self, request: ExportMetricsServiceRequest, at_ns: int) -> None:
        """Add the engine's metrics of one moment; moments must rise."""
        while self._next < len(self._by_end) and self._by_end[self._next].end_ns <= at_ns:
            self._count(self._by_end[self._next])
            self._next += 1
        waiting = sum(one.arrived_ns <= at_ns < one.started_ns for one in self._of)
        running = sum(one.started_ns <= at_ns < one.end_ns for one in self._of)
        into = request.resource_metrics.add()
        into.resource.attributes.extend(
            _attributes(
                {
                    "service.name": self._engine.name,
                    "host.name": HOST,
                    "service.instance.id": self._engine.instance,
                    "serving.engine.name": "vllm",
                    "serving.engine.version": VERSION,
                }
            )
        )
        scope = into.scope_metrics.add()
        levels = {
            "num_requests_running": running,
            "num_requests_waiting": waiting,
            "kv_cache_usage_perc": min(0.97, running / MAX_RUNNING + 0.05 * (running > 0)),
        }
        for name, level in levels.items():
            point = self._metric(scope, name).gauge.data_points.add(time_unix_nano=at_ns, as_double=level)
            point.attributes.extend(self._labels)
        for name, total in (("prompt_tokens_total", self._prompt), ("generation_tokens_total", self._output)):
            self._counter(scope, name, total, at_ns)
        self._counter(scope, "num_preemptions_total", 0, at_ns)
        for name, counts in self._histograms.items():
            data = self._metric(scope, name).histogram
            data.aggregation_temporality = _CUMULATIVE
            each = data.data_points.add(
                time_unix_nano=at_ns,
                start_time_unix_nano=self._day.start_ns,
                count=sum(counts),
                sum=self._sums[name],
                explicit_bounds=BOUNDS,
                bucket_counts=counts,
            )
            each.attributes.extend(self._labels)

    def _count(self, one: ScriptedRequest) -> None:
        self._prompt += one.input_tokens
        self._output += one.output_tokens
        for name, of in _HISTOGRAMS.items():
            seconds = of(one)
            self._histograms[name][bisect.bisect_left(BOUNDS, seconds)] += 1
            self._sums[name] += seconds

    def _metric(self, scope: pb.ScopeMetrics, name: str) -> pb.Metric:
        return scope.metrics.add(name=f"vllm:{name}")

    def _counter(self, scope: pb.ScopeMetrics, name: str, total: int, at_ns: int) -> None:
        data = self._metric(scope, name).sum
        data.aggregation_temporality, data.is_monotonic = _CUMULATIVE, True
        point = data.data_points.add(time_unix_nano=at_ns, start_time_unix_nano=self._day.start_ns, as_double=total)
        point.attributes.extend(self._labels)

    @property
    def _labels(self) -> Sequence[KeyValue]:
        return _attributes({"model_name": self._engine.model, "engine": "0"})


_HISTOGRAMS: Mapping[str, Callable[[ScriptedRequest], float]] = {
    "time_to_first_token_seconds": lambda one: (one.first_token_ns - one.arrived_ns) / SECOND,
    "request_time_per_output_token_seconds": lambda one: (
        (one.end_ns - one.first_token_ns) / SECOND / max(one.output_tokens - 1, 1)
    ),
    "request_queue_time_seconds": lambda one: one.queue_ns / SECOND,
    "request_prefill_time_seconds": lambda one: (one.first_token_ns - one.started_ns) / SECOND,
    "e2e_request_latency_seconds": lambda one: (one.end_ns - one.arrived_ns) / SECOND,
}


def _attributes(pairs: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in pairs.items()]
