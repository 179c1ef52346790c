"""`python benchmarks/steady.py [--minutes 60] [--rate 2000]`: does memory stay flat under a load that goes on?

A store and a collector as in production, and one sender at a steady rate: requests of 100 chats of 2 KB as in
`benchmarks/ingest.py`, each with ids, times and texts of its own, so that what the processes remember of ids, texts and
minutes grows as it would. Every 30 s it prints the resident memory of both; at the end the medians of the first, second
and last third, latencies, CPU seconds, and whether all that was sent is stored. What the two fill once (their caches,
what the engine keeps of parts that wait to be removed) falls into the first third.

The disk takes about 1 KB a span: 7 GB for the hour.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import random
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # after the path

from benchmarks.ingest import Load, cpu_seconds, exchange, head_of, message_of, resident_bytes  # as above
from tests.ingest.stack import Stack, Tenant  # as above

SPANS = 100
CHARACTERS = 1_450
# Made once: words are dear to make, and what makes a span new is renewed in each.
MESSAGES = 20
CONNECTIONS = 32
SAMPLE_SECONDS = 30
THIRDS = 3


class Renewed:
    """A request that is sent again and again as a new one."""

    def __init__(self, message: ExportTraceServiceRequest) -> None:
        self._message = message
        self._spans = message.resource_spans[0].scope_spans[0].spans
        self._texts = []
        for span in self._spans:
            values = {attribute.key: attribute.value for attribute in span.attributes}
            question = values["gen_ai.input.messages"]
            self._texts.append((question, question.string_value, values["gen_ai.response.id"]))

    def body(self) -> bytes:
        """Return it with ids, times and texts that it did not have before."""
        now = time.time_ns()
        trace_id = root = b""
        for number, (span, (question, text, response)) in enumerate(zip(self._spans, self._texts, strict=True)):
            span.span_id = secrets.token_bytes(8)
            if number % 10 == 0:
                trace_id, root = secrets.token_bytes(16), span.span_id
            else:
                span.parent_span_id = root
            span.trace_id = trace_id
            lasted = span.end_time_unix_nano - span.start_time_unix_nano
            span.start_time_unix_nano, span.end_time_unix_nano = now - lasted, now
            question.string_value = text.replace('"content": "', f'"content": "{secrets.token_hex(8)} ', 1)
            response.string_value = f"chatcmpl-{secrets.token_hex(12)}"
        return self._message.SerializeToString()


def send(address: str, tenant: Tenant, rate: float, seconds: float, pipe: Connection) -> None:
    """Send `rate` spans a second for so long; runs in a process of its own."""
    generator, url, head = random.Random(1), urlsplit(address), head_of(tenant, "/v1/traces")
    requests = itertools.cycle([Renewed(message_of(generator, SPANS, CHARACTERS)) for _ in range(MESSAGES)])
    numbers = itertools.count()
    latencies: list[float] = []
    answers: dict[int, int] = {}
    started, cpu = time.perf_counter(), time.process_time()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        # By the clock too: on a machine that is too busy for the rate it ends in time, with the rate that it had.
        while (due := next(numbers) * SPANS / rate) < seconds > time.perf_counter() - started:
            await asyncio.sleep(max(0.0, started + due - time.perf_counter()))
            sent = time.perf_counter()
            status = await exchange(reader, writer, head, next(requests).body())
            latencies.append(time.perf_counter() - sent)
            answers[status] = answers.get(status, 0) + 1
        writer.close()

    async def run() -> None:
        await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))

    asyncio.run(run())
    pipe.send(Load(time.perf_counter() - started, time.process_time() - cpu, latencies, answers))


def thirds(values: list[float]) -> list[float]:
    """Return the median of each third, in order."""
    size = len(values) // THIRDS
    return [statistics.median(values[size * third : size * (third + 1)]) for third in range(THIRDS)]


def print_figures(load: Load, samples: dict[str, list[float]], used: dict[str, float]) -> None:
    """Print what came of it."""
    spans = sum(load.answers.values()) * SPANS
    print(f"\n{spans:,} spans in {load.seconds / 60:.1f} minutes: {spans / load.seconds:,.0f} a second, all stored")
    for name, values in samples.items():
        first, second, last = thirds(values)
        print(
            f"memory {name:<10} median of each third {first:,.0f}, {second:,.0f}, {last:,.0f} MiB; "
            f"last ÷ second {last / second:.3f}, last ÷ first {last / first:.3f}, highest {max(values):,.0f} MiB"
        )
    size = len(load.latencies) // THIRDS
    worst = [sorted(load.latencies[size * third : size * (third + 1)])[size * 99 // 100] for third in range(THIRDS)]
    print("latency p99 of each third " + ", ".join(f"{seconds * 1000:,.0f} ms" for seconds in worst))
    for name, seconds in used.items():
        print(f"CPU {name:<14} {seconds / spans * 1000:.4f} s per 1,000 spans")


def main() -> None:
    """Send, look, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--rate", type=float, default=2_000, help="spans a second (default: 2000)")
    options = parser.parse_args()
    if options.minutes * 60 < THIRDS * SAMPLE_SECONDS:
        parser.error(f"at least {THIRDS * SAMPLE_SECONDS / 60} minutes: each third needs a sample")
    folder = Path(tempfile.mkdtemp(prefix="heliograph-steady-"))
    stack = Stack(folder)
    try:
        stack.start()
        assert stack.collector.popen
        assert stack.store.popen
        tenant = next(stack.tenants)
        pids = {"collector": stack.collector.popen.pid, "store": stack.store.popen.pid}
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        samples: dict[str, list[float]] = {name: [] for name in pids}
        here, there = multiprocessing.Pipe()
        arguments = (stack.http, tenant, options.rate, options.minutes * 60, there)
        sender = multiprocessing.get_context("fork").Process(target=send, args=arguments)
        started = time.monotonic()
        sender.start()
        while not here.poll(SAMPLE_SECONDS):
            assert sender.is_alive(), "the sender ended"
            for name, pid in pids.items():
                samples[name].append(resident_bytes(pid, "VmRSS") / 2**20)
            now = ", ".join(f"{name} {values[-1]:,.0f} MiB" for name, values in samples.items())
            print(f"{(time.monotonic() - started) / 60:5.1f} min  {now}", flush=True)
        load: Load = here.recv()
        sender.join()
        used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        assert set(load.answers) == {200}, load.answers
        spans = load.answers[200] * SPANS
        assert stack.counts(tenant) == (spans,) * 3, (stack.counts(tenant), spans)
        print_figures(load, samples, used | {"load generator": load.cpu_seconds})
    finally:
        stack.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
