"""`python benchmarks/ingest.py`: how many spans a second are acknowledged and stored, and what each costs.

A store and a collector as in production, and a load generator of its own process with bodies made beforehand, all on
the cores that this process may use (`taskset -c 0,1` for two). Beside it, in the same run, the raw engine: chDB alone,
inserting the same columns as one block after another, with the same tables and views.

A span is about 2 KB on the wire: a chat call with its messages, a temperature, a token limit and a seed of its own, as
OpenTelemetry's GenAI conventions name them. Each
request is sent once, with fresh ids and start times of now, so nothing is dropped as a duplicate. Each question is a
text of its own that is long enough to be stored apart (`contents`), which is the dearest case.

200 senders at the same time: an SDK waits for its export, so that as many requests are in flight as a collector at this
rate has. With fewer, groups are smaller and each insert's fixed cost (60 ms of CPU) is shared by fewer spans.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402  # the path comes first

from collectors import kernel  # noqa: E402  # as above
from tests.ingest.stack import Stack, Tenant  # noqa: E402  # as above

TICKS = os.sysconf("SC_CLK_TCK")
TEXT = (
    "the answer is that a context of tokens needs more memory than one card has so it was split over two and the "
    "retrieval step found nine documents about turbines lighthouses and the northern harbour before noon"
)
WORDS = TEXT.split()


def prose(generator: random.Random, characters: int) -> str:
    """Return words that compress about as text does."""
    words: list[str] = []
    size = 0
    while size < characters:
        words.append(generator.choice(WORDS) + (str(generator.randrange(1000)) if generator.random() < 0.2 else ""))
        size += len(words[-1]) + 1
    return " ".join(words)[:characters]


def request_of(generator: random.Random, spans: int, characters: int) -> bytes:
    """Return a serialised request of traces with ten spans each."""
    return message_of(generator, spans, characters).SerializeToString()


def message_of(generator: random.Random, spans: int, characters: int) -> ExportTraceServiceRequest:
    """Return a request of traces with ten spans each."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    for key, value in (("service.name", "bench"), ("host.name", "node-1"), ("service.version", "1.4.2")):
        resource_spans.resource.attributes.add(key=key).value.string_value = value
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "benchmark"
    now = time.time_ns()
    trace_id = root = b""
    for number in range(spans):
        is_root = number % 10 == 0
        if is_root:
            trace_id, root = secrets.token_bytes(16), secrets.token_bytes(8)
        start = now - generator.randrange(10**9)
        span = scope_spans.spans.add(
            trace_id=trace_id,
            span_id=root if is_root else secrets.token_bytes(8),
            parent_span_id=b"" if is_root else root,
            name="chat gpt-4o",
            kind=3,
            start_time_unix_nano=start,
            end_time_unix_nano=start + generator.randrange(10**9),
        )
        question = [{"role": "user", "parts": [{"type": "text", "content": prose(generator, characters * 3 // 4)}]}]
        answer = [{"role": "assistant", "parts": [{"type": "text", "content": prose(generator, characters // 4)}]}]
        for key, text in (
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "gpt-4o"),
            ("gen_ai.response.model", "gpt-4o-2024-08-06"),
            ("gen_ai.conversation.id", f"session-{generator.randrange(1000)}"),
            ("gen_ai.response.id", f"chatcmpl-{secrets.token_hex(12)}"),
            ("gen_ai.input.messages", json.dumps(question)),
            ("gen_ai.output.messages", json.dumps(answer)),
        ):
            span.attributes.add(key=key).value.string_value = text
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = generator.randrange(2000)
        span.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = generator.randrange(500)
        span.attributes.add(key="gen_ai.request.temperature").value.double_value = 0.2
        span.attributes.add(key="gen_ai.request.max_tokens").value.int_value = 512
        span.attributes.add(key="gen_ai.request.seed").value.int_value = generator.randrange(2**31)
    return request


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator saw."""

    seconds: float
    cpu_seconds: float
    latencies: list[float]
    answers: dict[int, int]


def head_of(tenant: Tenant, path: str, headers: str = "") -> str:
    """Return the first lines of a request, up to the length of its body. `headers` are further lines."""
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {tenant.key}\r\n{headers}"
    return head + "content-type: application/x-protobuf\r\ncontent-length: "


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str, body: bytes) -> int:
    """Send a body over a connection that is kept; return the status of its answer."""
    writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(int(lengths[0].split(b":")[1]))
    return int(answer.split(b" ", 2)[1])


def generate(
    address: str, tenant: Tenant, bodies: list[bytes], connections: int, pipe: Connection, path: str, headers: str
) -> None:
    """Send each body once over keep-alive connections; runs in a process of its own. `headers` are further lines."""
    url = urlsplit(address)
    pipe.send("ready")
    pipe.recv()
    latencies: list[float] = []
    answers: dict[int, int] = {}
    left, head = iter(bodies), head_of(tenant, path, headers)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        for body in left:
            started = time.perf_counter()
            status = await exchange(reader, writer, head, body)
            latencies.append(time.perf_counter() - started)
            answers[status] = answers.get(status, 0) + 1
        writer.close()

    async def run() -> None:
        await asyncio.gather(*(connection() for _ in range(connections)))

    started, cpu = time.perf_counter(), time.process_time()
    asyncio.run(run())
    pipe.send(Load(time.perf_counter() - started, time.process_time() - cpu, latencies, answers))


def family(pid: int) -> Iterator[int]:
    """Yield a process and its children."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            for child in (task / "children").read_text().split():
                yield from family(int(child))


def cpu_seconds(pid: int) -> float:
    """Return user and system seconds of a process and its children so far."""
    total = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident_bytes(pid: int, line: str) -> int:
    """Return the sum of the resident sizes of a process and its children: VmHWM is the peak, VmRSS is now."""
    lines = (each for member in family(pid) for each in Path(f"/proc/{member}/status").read_text().splitlines())
    return sum(int(each.split()[1]) * 1024 for each in lines if each.startswith(f"{line}:"))


def peak_bytes(pid: int) -> int:
    """Return the sum of the peak resident sizes of a process and its children."""
    return resident_bytes(pid, "VmHWM")


EXPORT = """
import sys
import chdb
folder, project, rows, data = sys.argv[1:]
engine = chdb.connect(folder)
sql = f"SELECT * FROM heliograph.spans WHERE project_id = {project} LIMIT {rows}"
engine.query(f"{sql} INTO OUTFILE '{data}' FORMAT Native")
engine.close()
"""
ENGINE = """
import re, resource, sys, tempfile, time, pathlib
import chdb
folder, schema, data, blocks = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
engine = chdb.connect(folder)
engine.query("CREATE DATABASE raw")
engine.query("USE raw")
for name in ("0001_spans", "0002_traces", "0003_span_rollups_1m"):
    for statement in (schema / f"{name}.sql").read_text().split(";\\n"):
        if statement.strip():
            engine.query(statement)
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
started, before = time.perf_counter(), cpu()
for number in range(blocks):
    engine.query(f"INSERT INTO spans FROM INFILE '{data}' SETTINGS insert_deduplication_token='{number}' FORMAT Native")
print(time.perf_counter() - started, cpu() - before)
engine.close()
"""


def raw_engine(stack: Stack, rows: int, blocks: int, project: int) -> tuple[float, float]:
    """Return seconds and CPU seconds of chDB alone for `blocks` inserts of one block of `rows` spans.

    The store must be closed: the block is read from its folder, which has one owner at a time.
    """
    folder = Path(tempfile.mkdtemp(prefix="heliograph-raw-"))
    try:
        # The very block that the collector stored, as the engine writes it.
        data = folder / "block.native"
        command = [sys.executable, "-c", EXPORT, str(stack.folder / "store"), str(project), str(rows), str(data)]
        subprocess.run(command, check=True)
        schema = ROOT / "platform" / "heliograph" / "clickhouse" / "schema"
        command = [sys.executable, "-c", ENGINE, str(folder / "engine"), str(schema), str(data), str(blocks)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds, cpu = answer.stdout.split()
        return float(seconds), float(cpu)
    finally:
        shutil.rmtree(folder)


def run_load(
    stack: Stack, tenant: Tenant, bodies: list[bytes], connections: int, path: str = "/v1/traces", headers: str = ""
) -> tuple[Load, dict[str, float]]:
    """Send the bodies; return what the generator saw and the CPU seconds of each part meanwhile."""
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    generator = context.Process(target=generate, args=(stack.http, tenant, bodies, connections, there, path, headers))
    generator.start()
    here.recv()
    assert stack.collector.popen
    assert stack.store.popen
    parts = {"collector": stack.collector.popen.pid, "store": stack.store.popen.pid}
    before = {name: cpu_seconds(pid) for name, pid in parts.items()}
    here.send("go")
    load: Load = here.recv()
    used = {name: cpu_seconds(pid) - before[name] for name, pid in parts.items()}
    generator.join()
    return load, used | {"load generator": load.cpu_seconds}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one decoder reached."""

    spans: int
    body_bytes: int
    load: Load
    cpu: dict[str, float]
    disk: float
    inserts: int
    peaks: dict[str, int]
    raw_rate: float
    raw_cpu: float

    @property
    def rate(self) -> float:
        """Spans a second, acknowledged and stored."""
        return self.spans / self.load.seconds

    @property
    def cpu_per_1000(self) -> float:
        """CPU seconds of all processes."""
        return sum(self.cpu.values()) / self.spans * 1000


def measure(options: argparse.Namespace, decoder: str) -> Figures:
    """Run the load through a fresh store and collector, and the engine alone on what was stored."""
    generator = random.Random(1)
    folder = Path(tempfile.mkdtemp(prefix="heliograph-benchmark-"))
    stack = Stack(folder, {"HELIOGRAPH_DECODER": decoder})
    try:
        stack.start()
        assert stack.collector.popen
        assert stack.store.popen
        warm, tenant = next(stack.tenants), next(stack.tenants)
        run_load(stack, warm, [request_of(generator, options.spans, options.characters) for _ in range(50)], 8)
        bodies = [request_of(generator, options.spans, options.characters) for _ in range(options.requests)]
        spans = options.requests * options.spans
        load, used = run_load(stack, tenant, bodies, options.connections)
        counts = stack.counts(tenant)
        [(disk, inserts)] = stack.query(
            """
            SELECT
                (SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()),
                (SELECT uniqExact(received_at) FROM spans WHERE project_id = %(p)s)
            """,
            p=tenant.id,
        )
        stored = stack.query("SELECT count() FROM spans")[0][0]
        peaks = {"collector": peak_bytes(stack.collector.popen.pid), "store": peak_bytes(stack.store.popen.pid)}
        assert load.answers == {200: options.requests}, load.answers
        assert counts == (spans, spans, spans), counts
        stack.stop()
        rows = min(10_000, spans)
        blocks = max(1, spans // rows)
        raw_seconds, raw_cpu = raw_engine(stack, rows, blocks, tenant.id)
    finally:
        stack.stop()
        shutil.rmtree(folder)
    load.latencies.sort()
    raw = rows * blocks
    return Figures(
        spans, len(bodies[0]), load, used, disk / stored, inserts, peaks, raw / raw_seconds, raw_cpu / raw * 1000
    )


def report(figures: Figures, options: argparse.Namespace, decoder: str) -> None:
    """Print one decoder's figures."""
    name = "with the kernel" if decoder == "auto" else "Python alone"
    print(
        f"\n{name}: {figures.spans:,} spans in {options.requests:,} requests over {options.connections} connections, "
        f"{figures.body_bytes // options.spans:,} bytes a span on the wire, {figures.inserts:,} inserts"
    )
    print(f"acknowledged and stored  {figures.rate:,.0f} spans/s")
    for part, seconds in figures.cpu.items():
        print(f"CPU {part:<20} {seconds / figures.spans * 1000:.4f} s per 1,000 spans")
    busy = sum(figures.cpu.values()) / figures.load.seconds
    print(f"CPU in all               {figures.cpu_per_1000:.4f} s per 1,000 spans; {busy:.2f} cores busy")
    for percent in (50, 99):
        latency = figures.load.latencies[len(figures.load.latencies) * percent // 100]
        print(f"latency p{percent}              {latency * 1000:,.0f} ms")
    print(f"on disk                  {figures.disk:,.0f} bytes a span")
    for part, peak in figures.peaks.items():
        print(f"peak memory {part:<12} {peak / 2**20:,.0f} MiB")
    print(f"raw engine               {figures.raw_rate:,.0f} spans/s, {figures.raw_cpu:.4f} CPU s per 1,000 spans")
    print(
        f"against the raw engine   {figures.rate / figures.raw_rate:.2f} of its rate, "
        f"{figures.cpu_per_1000 / figures.raw_cpu:.1f} times its CPU"
    )


def main() -> None:
    """Measure with the compiled kernel and without it, and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2_000, help="of 100 spans (default: 2000)")
    parser.add_argument("--spans", type=int, default=100, help="a request (default: 100)")
    parser.add_argument("--characters", type=int, default=1_450, help="of text a span; the default makes 2 KB in all")
    parser.add_argument("--connections", type=int, default=200, help="senders at the same time (default: 200)")
    parser.add_argument("--decoder", choices=("auto", "python"), help="only one; default: both, the kernel first")
    options = parser.parse_args()
    for decoder in [options.decoder] if options.decoder else ["auto", "python"]:
        if decoder == "auto" and kernel.active() is None:
            print(f"no compiled kernel: {kernel.MISSING}")
            continue
        report(measure(options, decoder), options, decoder)


if __name__ == "__main__":
    main()
