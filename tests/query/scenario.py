"""One GPU host with a vLLM engine and a shop that calls it, scripted and sent as OTLP.

The hour before the judged call is calm: a call each minute, the GPU at 1,980 MHz, eight requests at a time.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collectors.otlp import metrics, traces
from collectors.otlp.limits import Limits
from heliograph.clickhouse import client
from heliograph.query import attribution_windows
from heliograph.query.filters import to_ns
from tests.collectors.build import pairs, request, span

SECOND = 10**9
# The judged call begins here: a whole minute, with more than the hour before it still kept.
START = (datetime.now(UTC) - timedelta(hours=2)).replace(second=0, microsecond=0)
_traces = itertools.count(1)
Levels = dict[str, float]


def at(seconds: float) -> int:
    return to_ns(START) + round(seconds * SECOND)


@dataclass
class World:
    """What happens from an hour before the judged call to two minutes after its start; change it, then `send`."""

    project_id: int
    uuid: str = "GPU-3"
    host: str = "node-1"
    # From second 0 to `until`, else the calm value.
    until: float = 60
    clock_hz: float = 1.98e9
    throttled_per_second: Levels = field(default_factory=dict)
    engine: Levels = field(default_factory=dict)
    preempted_per_second: float = 0.0
    sends_throttle: bool = True
    sends_engine: bool = True
    sends_processes: bool = True
    engine_metrics: Levels = field(
        default_factory=lambda: {"num_requests_running": 8, "num_requests_waiting": 0, "kv_cache_usage_perc": 0.5}
    )

    def send(self) -> None:
        """Send what GPU agent, engine and shop send, but for the judged call."""
        self._send_gpu()
        if self.sends_engine:
            self._send_engine()
        self._send_calls([spans_of(new_trace(), -60 * minute) for minute in range(1, 60)])

    def call(self, seconds: float, **changes: Any) -> str:
        """Send one call as client and engine see it; returns its trace id. `changes` are those of `spans_of`."""
        trace_id = new_trace()
        self._send_calls([spans_of(trace_id, seconds, **changes)])
        return trace_id.hex()

    def _send_calls(self, sides: list[tuple[Any, Any]]) -> None:
        caller = {"service.name": "shop", "host.name": "web-1", "process.pid": 7}
        server = {"service.name": "vllm", "service.instance.id": "vllm-0", "host.name": self.host, "process.pid": 100}
        send_spans(self.project_id, caller, *(client_span for client_span, _ in sides))
        send_spans(self.project_id, server, *(server_span for _, server_span in sides))

    def _during(self, second: float) -> bool:
        return 0 <= second < self.until

    def _seconds(self) -> Iterable[int]:
        return [*range(-3_600, -120, 60), *range(-120, 121, 10)]

    def _send_gpu(self) -> None:
        identity = {
            "host.name": self.host,
            "hw.id": self.uuid,
            "gpu.index": 3,
            "hw.type": "gpu",
            "hw.name": "NVIDIA H100",
        }
        export, scope = _export({"service.name": "gpu-agent", **identity})
        _gauge(scope, "hw.gpu.utilization", "1", {"hw.gpu.task": "general"}, ((s, 0.9) for s in self._seconds()))
        clocks = ((s, self.clock_hz if self._during(s) else 1.98e9) for s in self._seconds())
        _gauge(scope, "gpu.clock.frequency", "Hz", {"gpu.clock.type": "sm"}, clocks)
        _counter(scope, "hw.energy", "J", {}, ((s, 300.0 * (s + 3_600)) for s in self._seconds()))
        if self.sends_throttle:
            for reason in ("hw_thermal_slowdown", "sw_power_cap", "sync_boost"):
                rate = self.throttled_per_second.get(reason, 0.0)
                held = ((s, 5.0 + rate * min(max(s, 0), self.until)) for s in self._seconds())
                _counter(scope, "gpu.throttle.time", "s", {"gpu.throttle.reason": reason}, held)
        if self.sends_processes:
            worker = {
                "process.pid": 101,
                "process.executable.name": "python3",
                "process.creation.time": (START - timedelta(hours=3)).isoformat(),
                "gpu.process.parent_pids": "100",
                "gpu.process.listen": "0.0.0.0:8000",
                "gpu.process.addresses": "10.0.0.5",
            }
            _gauge(scope, "gpu.process.info", "1", worker, ((s, 1.0) for s in self._seconds()))
        send_metrics(self.project_id, export)

    def _send_engine(self) -> None:
        export, scope = _export({"service.name": "vllm", "service.instance.id": "vllm-0", "host.name": self.host})
        for name, calm in self.engine_metrics.items():
            level = self.engine.get(name, calm)
            levels = ((s, level if self._during(s) else calm) for s in self._seconds())
            _gauge(scope, f"vllm:{name}", "1", {"model_name": "my-llama"}, levels)
        preempted = ((s, self.preempted_per_second * min(max(s, 0), self.until)) for s in self._seconds())
        _counter(scope, "vllm:num_preemptions_total", "1", {"model_name": "my-llama"}, preempted)
        send_metrics(self.project_id, export)


def share_out(project_id: int) -> None:
    """Do what the job does with the GPU time of the hour before the judged call and of the minutes after it."""
    start_s = int((START - timedelta(hours=1)).timestamp())
    attribution_windows.attribute(project_id, start_s, 65, retention_days=90, tenant_key="tenant.id")


def new_trace() -> bytes:
    return next(_traces).to_bytes(16, "big")


def spans_of(
    trace_id: bytes,
    start: float,
    *,
    queue: float = 0.01,
    prefill: float = 0.15,
    tpot: float = 0.02,
    network: float = 0.04,
    prompt_tokens: int = 900,
    output_tokens: int = 200,
) -> tuple[Any, Any]:
    """The client's span and the engine's below it; seconds. Of the network all passes before the first token."""
    decode = tpot * (output_tokens - 1)
    served = queue + prefill + decode
    usage = {"gen_ai.usage.input_tokens": prompt_tokens, "gen_ai.usage.output_tokens": output_tokens}
    of_client = span(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "my-llama",
            "gen_ai.response.time_to_first_chunk": network + queue + prefill,
            "server.address": "llm.default.svc",
            "server.port": 8000,
            **usage,
        },
        trace_id=trace_id,
        span_id=1,
        kind=3,
        start_time_unix_nano=at(start),
        end_time_unix_nano=at(start + network + served),
    )
    of_server = span(
        {
            "gen_ai.latency.time_to_first_token": queue + prefill,
            "gen_ai.latency.time_in_queue": queue,
            "gen_ai.latency.time_in_model_prefill": prefill,
            "gen_ai.latency.time_in_model_decode": decode,
            "gen_ai.usage.prompt_tokens": prompt_tokens,
            "gen_ai.usage.completion_tokens": output_tokens,
        },
        trace_id=trace_id,
        span_id=2,
        parent=1,
        name="llm_request",
        kind=2,
        start_time_unix_nano=at(start + network / 2),
        end_time_unix_nano=at(start + network / 2 + served),
    )
    return of_client, of_server


def send_spans(project_id: int, resource: dict[str, Any], *spans: Any) -> None:
    body = request(*spans, resource=resource).SerializeToString()
    decoded = traces.decode(body, content_type="protobuf", limits=Limits(), now_ns=to_ns(datetime.now(UTC)))
    assert decoded.accepted == len(spans)
    _store(project_id, "spans", decoded.columns)


def send_metrics(project_id: int, export: ExportMetricsServiceRequest) -> None:
    body = export.SerializeToString()
    decoded = metrics.decode(body, content_type="protobuf", limits=Limits(), now_ns=to_ns(datetime.now(UTC)))
    assert not decoded.rejected
    _store(project_id, "metric_points", decoded.columns)


def _store(project_id: int, table: str, columns: dict[str, list[Any]]) -> None:
    rows = len(next(iter(columns.values())))
    client.insert(table, {"project_id": [project_id] * rows, "retention_days": [90] * rows, **columns})


def _export(resource: dict[str, Any]) -> tuple[ExportMetricsServiceRequest, Any]:
    export = ExportMetricsServiceRequest()
    sent = export.resource_metrics.add()
    sent.resource.attributes.extend(pairs(resource))
    return export, sent.scope_metrics.add()


def _gauge(scope: Any, name: str, unit: str, attributes: dict[str, Any], points: Iterable[tuple[float, float]]) -> None:
    gauge = scope.metrics.add(name=name, unit=unit).gauge
    for second, value in points:
        gauge.data_points.add(time_unix_nano=at(second), as_double=value).attributes.extend(pairs(attributes))


def _counter(
    scope: Any, name: str, unit: str, attributes: dict[str, Any], points: Iterable[tuple[float, float]]
) -> None:
    counter = scope.metrics.add(name=name, unit=unit).sum
    counter.is_monotonic, counter.aggregation_temporality = True, 2
    for second, value in points:
        point = counter.data_points.add(
            time_unix_nano=at(second), start_time_unix_nano=at(-4_000), as_double=float(value)
        )
        point.attributes.extend(pairs(attributes))
