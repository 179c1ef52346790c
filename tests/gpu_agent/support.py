"""What the tests of the agent share: scenarios for the scripted driver, a recording server, the agent's process."""

import contextlib
import gzip
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

ROOT = Path(__file__).resolve().parents[2]
MAX_BODY_BYTES = 16 << 20
H100_BYTES = 85_520_809_984


def uuid(index: int) -> str:
    return f"GPU-{index:08d}-0000-4000-8000-000000000000"


def h100s(count: int, driver: str = "590.48.01") -> dict[str, object]:
    """A host of H100s under load; the values of one are those of a real one (625.7 W instant, 631.9 W average)."""
    world: dict[str, object] = {
        "gpu_count": count,
        "driver_version": driver,
        "nvml_version": f"13.{driver}",
        "cuda_version": 13010,
        "topology": 10,
        "p2p": 0,
        "name": "NVIDIA H100 80GB HBM3",
        "architecture": 9,
        "cores": 16896,
        "memory_bus_width": 5120,
        "vbios_version": "96.00.89.00.01",
        "numa_node": 0,
        "utilization": 97,
        "memory_utilization": 41,
        "encoder_utilization": 0,
        "decoder_utilization": 3,
        "memory_total": H100_BYTES,
        "memory_used": 70_000_000_000,
        "memory_reserved": 526_385_152,
        "bar1_total": 137_438_953_472,
        "bar1_used": 1_000_000,
        "power": 625_700,
        "power_limit": 700_000,
        "field.186": 625_700,
        "field.185": 631_900,
        "field.82": 66,
        "field.83": "+400000000:650000",
        "field.74": "+5000000000:1000000",
        "field.75": 0,
        "field.76": 0,
        "energy": "+400000000:650000",
        "temperature.0": 61,
        "threshold.0": 92,
        "threshold.1": 87,
        "clock_reasons": 4,
        "mig_mode": 0,
        "gpm": 1,
        "gpm.1": 96.5,
        "gpm.2": 91.0,
        "gpm.3": 33.0,
        "gpm.5": 42.0,
        "gpm.10": 63.0,
        "gpm.20": 100.0,
        "gpm.21": 200.0,
        "rows.corrected": 0,
        "rows.uncorrected": 0,
        "rows.pending": 0,
        "rows.failed": 0,
        "pcie_replay": 1,
        "pcie_generation": 5,
        "pcie_generation_max": 5,
        "pcie_width": 16,
        "pcie_width_max": 16,
        "field.197": "+1000:1000",
        "field.198": "+2000:2000",
        "field.91": 18,
        "field.230": 0,
    }
    world |= {f"clock.{kind}": mhz for kind, mhz in enumerate((1980, 1980, 2619, 1545))}
    world |= {f"clock_max.{kind}": mhz for kind, mhz in enumerate((1980, 1980, 2619, 1545))}
    world |= {f"ecc.{kind}.{scope}": 0 for kind in (0, 1) for scope in (0, 1)}
    thermal = (269, 270, 271) if int(driver.partition(".")[0]) >= 590 else (251, 252, 253)
    world |= {f"field.{number}": 0 for number in (*thermal, *range(173, 184))}
    for link in range(18):
        suffix = f".{link}" if link else ""
        world |= {
            f"field.{number}{suffix}": value
            for number, value in ((165, 1), (164, 26_562), (161, 0), (162, 0), (163, 0))
        }
        world |= {f"field.{number}{suffix}": f"+{link}:1000" for number in (138, 139)}
    for index in range(count):
        world |= {
            f"{index}.uuid": uuid(index),
            f"{index}.serial": f"165{index:07d}",
            f"{index}.pci_bus_id": f"00000000:{0x18 + index:02X}:00.0",
        }
    return world


class Scenario:
    """The file that the scripted driver follows; `change` alters the world while the agent runs."""

    def __init__(self, path: Path, world: Mapping[str, object]) -> None:
        self.path = path
        self.world: dict[str, object] = {}
        self.change(world)

    def change(self, keys: Mapping[str, object] | None = None, *, without: tuple[str, ...] = ()) -> None:
        self.world |= keys or {}
        for key in without:
            del self.world[key]
        text = "".join(f"{key}={value}\n" for key, value in self.world.items())
        draft = self.path.with_suffix(".new")
        draft.write_text(text)
        os.replace(draft, self.path)


@dataclass(frozen=True)
class Seen:
    """One data point as it arrived."""

    name: str
    unit: str
    kind: str
    value: float
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    time_ns: int
    start_ns: int
    arrived: float

    @property
    def gpu(self) -> str:
        return str(self.resource.get("hw.id", ""))


@dataclass(frozen=True)
class SeenLog:
    event: str
    body: str
    severity: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]


def plain(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@dataclass
class Receiver:
    """A local OTLP/HTTP server that records what arrives, and answers as `answers` says first."""

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    metric_requests: list[ExportMetricsServiceRequest] = field(default_factory=list)
    log_requests: list[ExportLogsServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    answer_body: bytes = b""
    endpoint: str = ""
    _points: list[Seen] = field(default_factory=list)
    _read: int = 0

    def points(self, name: str | None = None, gpu: str | None = None, **attributes: object) -> list[Seen]:
        """What arrived of a metric; keyword names stand for attribute keys with `_` for `.`."""
        for request in self.metric_requests[self._read :]:
            self._read += 1
            self._points.extend(_points(request))
        return [
            point
            for point in self._points
            if (name is None or point.name == name)
            and (gpu is None or point.gpu == gpu)
            and all(
                {k.replace(".", "_"): v for k, v in point.attributes.items()}.get(key) == value
                for key, value in attributes.items()
            )
        ]

    def last(self, name: str, gpu: str | None = None, **attributes: object) -> float | None:
        found = self.points(name, gpu, **attributes)
        return found[-1].value if found else None

    def logs(self, event: str) -> list[SeenLog]:
        return [
            SeenLog(
                record.event_name,
                record.body.string_value,
                record.severity_text,
                plain(record.attributes),
                plain(resource.resource.attributes),
            )
            for request in list(self.log_requests)
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
            if record.event_name == event
        ]


def _points(request: ExportMetricsServiceRequest) -> Iterator[Seen]:
    arrived = time.monotonic()
    for resource in request.resource_metrics:
        attributes = plain(resource.resource.attributes)
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                shape = str(metric.WhichOneof("data"))
                data = getattr(metric, shape)
                kind = "gauge" if shape == "gauge" else "counter" if data.is_monotonic else "updowncounter"
                for point in data.data_points:
                    value = getattr(point, point.WhichOneof("value"))
                    yield Seen(
                        metric.name,
                        metric.unit,
                        kind,
                        value,
                        plain(point.attributes),
                        attributes,
                        point.time_unix_nano,
                        point.start_time_unix_nano,
                        arrived,
                    )


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    """An OTLP server on a free port of the loopback."""
    record = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(min(int(self.headers["Content-Length"]), MAX_BODY_BYTES))
            record.headers.append(dict(self.headers))
            record.arrivals.append(time.monotonic())
            status, extra = record.answers.pop(0) if record.answers else (200, {})
            if status == 200:
                data = gzip.decompress(body)
                if self.path.endswith("/v1/metrics"):
                    record.metric_requests.append(ExportMetricsServiceRequest.FromString(data))
                else:
                    record.log_requests.append(ExportLogsServiceRequest.FromString(data))
            answer = record.answer_body if status == 200 else b"try later"
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    record.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield record
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(library: Path | None, scenario: Scenario | None) -> dict[str, str]:
    """The agent's environment: the scripted driver is found by LD_LIBRARY_PATH, which must be set before the start."""
    result = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error", "PYTHONPATH": str(ROOT)}
    if library:
        result["LD_LIBRARY_PATH"] = str(library.parent)
    if scenario:
        result["FAKE_NVML_SCENARIO"] = str(scenario.path)
    return result


class AgentProcess:
    """`python -m gpu_agent` as it ships, with its log."""

    def __init__(self, arguments: list[str], env: Mapping[str, str], log: Path) -> None:
        self.log_path = log
        self._log = log.open("wb")
        command = [sys.executable, "-m", "gpu_agent", *arguments]
        self.process = subprocess.Popen(command, env=dict(env), stderr=self._log, stdout=self._log, cwd=ROOT)

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(20)
        finally:
            self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._log.close()


def until(condition: Callable[[], Any], timeout_s: float = 180.0, why: Callable[[], str] = lambda: "") -> Any:
    """Poll until the condition is true and return its value."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, f"not true within {timeout_s} s. {why()}"
        time.sleep(0.02)
    return value
