"""The GPU agent as it ships, a process with NVIDIA's own binding, reads the scripted driver and sends to the platform.

A short day of what the issue asks for: eight GPUs, two engines that are processes of this machine, twenty tenants, one
GPU too hot, one that falls off the bus with XID 79. The longer day (`test_scripted_day`) has the hours that no test can
wait for, and is made by the agent's parts; here nothing stands in for the agent.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind

from heliograph.demo.traces import Recorder
from heliograph.query.filters import from_ns
from tests.gpu_agent.conftest import fake_nvml
from tests.gpu_agent.support import AgentProcess, Scenario, environment, h100s, uuid
from tests.journeys.conftest import Platform, eventually

__all__ = ["fake_nvml"]
# Two minutes of the agent's time, on a busy machine after as many for the platform's start.
pytestmark = pytest.mark.timeout(2_400)
SECOND = 10**9
MINUTE = 60 * SECOND
HOST, MODEL = "driver-node", "meta-llama/Llama-3.1-8B-Instruct"
# What the scripted driver draws, per GPU, at all times.
WATTS = 650.0
GPUS_OF = {"first": (0, 1, 2, 3), "second": (4, 5)}
HOT_GPU, LOST_GPU, HELD_SHARE = 3, 7, 0.72
TENANTS = tuple(f"tenant-{number:02d}" for number in range(20))
# A second for each tenant's request: four readings of the agent.
CALM_S, HOT_S = 12, 8
# Of the second minute.
GROWN_S = 8
# Tokens of a call take this long, and twice as long while a GPU is too hot.
TPOT_S, TTFT_S = 0.02, 0.1
OWN_PROJECT = """
import json, django
django.setup()
from heliograph.accounts.models import ApiKey, Organization, Project
project = Project.create(Organization.objects.order_by("pk").first(), "Driver")
print(json.dumps([project.pk, ApiKey.issue(project, "driver")[1]]))
"""
SHARE_OUT = """
import sys, django
django.setup()
from heliograph.query.attribution_windows import attribute
project, start_s, minutes = map(int, sys.argv[1:])
attribute(project, start_s, minutes, retention_days=90, tenant_key="tenant.id")
"""


@dataclass(frozen=True, kw_only=True)
class Lived:
    """What happened, in nanoseconds since the epoch, and where it can be asked for."""

    platform: Platform
    pids: dict[str, int]
    begun: int
    hot: int
    ended: int
    looked: int

    @property
    def minutes(self) -> dict[str, str]:
        """The whole minutes around it, in which nothing else happened."""
        first, last = self.begun // MINUTE * MINUTE, self.looked // MINUTE * MINUTE + MINUTE
        return {"start": from_ns(first).isoformat(), "end": from_ns(last).isoformat()}

    @property
    def each_ns(self) -> int:
        """How long each tenant's request took: one after the other, they fill the time."""
        return (self.ended - self.begun) // len(TENANTS)


def run(platform: Platform, script: str, *arguments: object) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    settings = platform.environment | {"DJANGO_SETTINGS_MODULE": "heliograph.settings"}
    done = subprocess.run(command, check=False, env=settings, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def recently() -> dict[str, str]:
    now = time.time_ns()
    return {"start": from_ns(now - 600 * SECOND).isoformat(), "end": from_ns(now).isoformat()}


def joules(platform: Platform, gpu: int) -> tuple[float, float]:
    """The last reading of a GPU's counter that the platform has: its epoch second, and joules."""
    found = platform.api(f"gpus/{uuid(gpu)}/series", metric="hw.energy", buckets=300, **recently())["items"]
    points = [point for line in found for point in line["points"] if point[1] is not None]
    return (points[-1][0], points[-1][1]) if points else (0.0, 0.0)


@pytest.fixture(scope="module")
def lived(platform: Platform, fake_nvml: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    project_id, key = json.loads(run(platform, OWN_PROJECT))
    own = replace(platform, api_key=key)
    folder = tmp_path_factory.mktemp("driver")
    # Two engines: processes that the agent finds in /proc.
    engines = {
        name: subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        for name in GPUS_OF
    }
    world = Scenario(folder / "scenario.txt", h100s(8))
    world.change(
        {f"{gpu}.process.0": f"{engines[name].pid}:40000000000" for name, gpus in GPUS_OF.items() for gpu in gpus}
    )
    arguments = ["--interval", "0.25", "--export-interval", "1", "--endpoint", platform.otlp, "--api-key", key]
    variables = environment(fake_nvml, world) | {"OTEL_RESOURCE_ATTRIBUTES": f"host.name={HOST}"}
    agent = AgentProcess(arguments, variables, folder / "agent.log")
    try:
        yield live(own, project_id, world, agent, {name: engine.pid for name, engine in engines.items()})
        assert agent.stop() == 0, agent.log
    finally:
        agent.kill()
        for engine in engines.values():
            assert engine.stdin is not None
            engine.stdin.close()
            engine.wait(60)


def live(platform: Platform, project_id: int, world: Scenario, agent: AgentProcess, pids: dict[str, int]) -> Lived:
    """Let the driver's story happen; the platform's own readings tell when to go on."""

    def read_until(second: float) -> None:
        def reached() -> bool:
            assert agent.process.poll() is None, agent.log
            return joules(platform, HOT_GPU)[0] >= second

        eventually(reached, 240)

    eventually(lambda: len(platform.api("gpus", host=HOST, **recently())["items"]) == 8, 240)
    begun = time.time_ns()
    read_until(begun / SECOND + CALM_S)
    at, counted = joules(platform, HOT_GPU)
    # The driver counts from the moment at which it was loaded: its own counter tells when that was. Some seconds less,
    # since a counter below zero would be read as a huge one.
    age = time.time() - at + (counted - 400_000) / WATTS - 4
    nanoseconds = HELD_SHARE * SECOND
    world.change(
        {
            f"{HOT_GPU}.field.270": f"+{-age * nanoseconds:.0f}:{nanoseconds:.0f}",
            f"{HOT_GPU}.clock.1": 1_200,
            f"{HOT_GPU}.clock.0": 1_200,
            f"{HOT_GPU}.temperature.0": 91,
        }
    )
    hot = time.time_ns()
    # It stays hot until the agent is stopped. On a slow machine the calm took longer than was asked for.
    ended = hot + max(HOT_S * SECOND, round(0.6 * (hot - begun)))
    read_until(ended / SECOND)
    world.change({"event.0": f"0:{LOST_GPU}:8:79", f"{LOST_GPU}.!*": 15})
    eventually(lambda: "gpu.lost" in json.dumps(events(platform, recently())), 240)
    # The fleet knows counters from minute to minute: it needs a second one.
    read_until((hot // MINUTE + 1) * 60 + GROWN_S)
    looked = time.time_ns()
    found = Lived(platform=platform, pids=pids, begun=begun, hot=hot, ended=ended, looked=looked)
    serve(found)
    first = begun // MINUTE
    run(platform, SHARE_OUT, project_id, first * 60, ended // MINUTE + 1 - first)
    return found


def events(platform: Platform, span: dict[str, str]) -> Any:
    return platform.api("gpus/events", gpu=uuid(LOST_GPU), **span)["items"]


def serve(lived: Lived) -> None:
    """Send what the engines served: an hour of usual calls, then one of each tenant after the other."""
    found: list[ReadableSpan] = []
    for name, pid in lived.pids.items():
        resource: dict[str, str | int] = {"host.name": HOST, "process.pid": pid, "service.instance.id": f"{name}-1"}
        recorder = Recorder.of(f"engine-{name}", "1", **resource)
        for number in range(30):
            call(recorder, lived.begun - (20 + number) * MINUTE, lived.each_ns, TPOT_S, "")
        # Before the first and after the last tenant it was at work too: what it drew between two readings of which one
        # is outside would all be theirs.
        call(recorder, lived.begun - 2 * SECOND, 2 * SECOND, TPOT_S, "")
        call(recorder, lived.ended, 2 * SECOND, TPOT_S, "")
        for number, tenant in enumerate(TENANTS):
            at = lived.begun + number * lived.each_ns
            call(recorder, at, lived.each_ns, TPOT_S * (2 if at > lived.hot + SECOND else 1), tenant)
        found += recorder.exporter.get_finished_spans()
    headers = {"x-api-key": lived.platform.api_key}
    exporter = OTLPSpanExporter(f"{lived.platform.otlp}/v1/traces", headers=headers, timeout=180)
    assert exporter.export(found) is SpanExportResult.SUCCESS
    exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK left it untyped


def call(recorder: Recorder, at_ns: int, took_ns: int, tpot_s: float, tenant: str) -> None:
    seconds = took_ns / SECOND
    said: dict[str, str | int | float] = {
        "gen_ai.response.model": MODEL,
        "gen_ai.usage.prompt_tokens": 500,
        "gen_ai.usage.completion_tokens": round((seconds - TTFT_S) / tpot_s) + 1,
        "gen_ai.latency.time_in_queue": 0.0,
        "gen_ai.latency.time_to_first_token": TTFT_S,
        "gen_ai.latency.time_in_model_prefill": TTFT_S,
        "gen_ai.latency.time_in_model_decode": seconds - TTFT_S,
        "gen_ai.latency.e2e": seconds,
    }
    span = recorder.start("llm_request", at_ns, None, SpanKind.SERVER)
    span.set_attributes({**said, "tenant.id": tenant} if tenant else said)
    span.end(at_ns + took_ns)


def test_the_fleet_is_as_the_driver_says(lived: Lived) -> None:
    found = {int(gpu["index"]): gpu for gpu in lived.platform.api("gpus", host=HOST, **lived.minutes)["items"]}
    assert sorted(found) == list(range(8))
    kinds = {index: {problem["kind"] for problem in gpu["problems"]} for index, gpu in found.items()}
    assert {"lost", "xid"} <= kinds.pop(LOST_GPU)
    assert {index: said for index, said in kinds.items() if said} == {HOT_GPU: {"heat"}}
    assert found[LOST_GPU]["xids"] == {"79": 1}
    assert found[HOT_GPU]["held_back_s"] > 0.5 * HELD_SHARE * GROWN_S


def test_the_xid_is_an_event_and_a_series_for_alerts(lived: Lived) -> None:
    assert "XID 79" in json.dumps(events(lived.platform, lived.minutes))
    said = {"name": "gpu.xid.errors", "aggregate": "increase", "group_by": "gpu_uuid"}
    counted = lived.platform.api("metrics/query", **said, **lived.minutes)
    assert {series["labels"]["gpu_uuid"] for series in counted["series"]} == {uuid(LOST_GPU)}


def test_each_tenant_s_joules_are_what_its_requests_gpus_drew(lived: Lived) -> None:
    answer = lived.platform.api("attribution", group_by="tenant", **lived.minutes)
    found = {group["key"]: group["gpu"]["joules"] for group in answer["groups"] if group["gpu"]}
    held = sum(len(gpus) for gpus in GPUS_OF.values())
    true = WATTS * held * lived.each_ns / SECOND
    assert {tenant: found[tenant] for tenant in TENANTS} == pytest.approx(dict.fromkeys(TENANTS, true), rel=0.05)
    assert sum(found.values()) + answer["idle"]["joules"] == pytest.approx(answer["counter_joules"], rel=1e-6)


def test_a_call_in_the_heat_names_the_gpu_and_one_before_it_is_usual(lived: Lived) -> None:
    def verdict(start: int, end: int) -> Any:
        window = {"start": from_ns(start).isoformat(), "end": from_ns(end).isoformat()}
        found = lived.platform.api("spans", service="engine-first", limit=50, **window)["items"]
        placed = lived.platform.api(f"traces/{found[0]['trace_id']}/where")["calls"][0]
        assert placed["placement"]["strength"] == "pid", placed
        return placed["verdict"]

    hot = verdict(lived.hot + 2 * SECOND + lived.each_ns, lived.ended - lived.each_ns)
    assert hot["outcome"] == "explained", hot
    assert any(f"GPU {HOT_GPU}" in one["sentence"] and "thermally" in one["sentence"] for one in hot["findings"]), hot
    calm = verdict(lived.begun - 1, lived.hot - lived.each_ns)
    assert calm["outcome"] == "usual", calm
