"""`heliograph demo`: send realistic traffic through the public OTLP endpoint, as any service would."""

import os
import time
from argparse import ArgumentParser
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult

from heliograph.accounts.bootstrap import local_key
from heliograph.demo import traces
from heliograph.demo.day import Day
from heliograph.demo.day_send import NotTakenError, send

TRACES_PER_EXPORT = 40
# GPU use is shared out over requests for the last six hours at a first start (docs/attribution.md).
DAY_SECONDS = 5 * 3600
DAY_INTERVAL_S = 10.0


class Command(BaseCommand):
    """Send a day of demo traces, and a scripted day of a host with eight GPUs."""

    help = "Send realistic demo traffic over OTLP/HTTP, never into tables directly."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the endpoint, the key, the number of traces and the hours that they are spread over."""
        parser.add_argument("--endpoint", default=f"http://{settings.LOCAL_HOST}:{settings.OTLP_HTTP_PORT}")
        parser.add_argument("--api-key", default=os.environ.get("HELIOGRAPH_API_KEY") or local_key())
        parser.add_argument("--traces", type=int, default=600)
        parser.add_argument("--hours", type=int, default=24)
        parser.add_argument("--seed", type=int, default=int(time.time()))

    def handle(self, *, endpoint: str, api_key: str, hours: int, seed: int, **options: Any) -> None:
        """Send, and say what was sent."""
        headers = {"x-api-key": api_key} if api_key else {}
        end = time.time_ns()
        start = end - hours * traces.HOUR
        spans_sent = self._send_traces(endpoint, headers, options["traces"], start, end, seed)
        day = Day(end - DAY_SECONDS * 10**9, DAY_SECONDS, seed)
        self.stdout.write("A host with eight GPUs and two engines ...")
        try:
            sent = send(day, endpoint, headers, interval_s=DAY_INTERVAL_S)
        except NotTakenError as error:
            raise CommandError(f"{error}. Is Heliograph running (make run)?") from error
        self.stdout.write(
            f"Sent {options['traces']} traces ({spans_sent} spans), then {sent.traces} requests to two engines and "
            f"{sent.gpu_points} GPU points to {endpoint}."
        )

    def _send_traces(self, endpoint: str, headers: dict[str, str], count: int, start: int, end: int, seed: int) -> int:
        exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", headers=headers, timeout=30)
        stream, sent, done = traces.generate(count, start, end, seed), 0, 0
        while batch := list(islice(stream, TRACES_PER_EXPORT)):
            spans = [span for trace in batch for span in trace]
            if exporter.export(spans) is not SpanExportResult.SUCCESS:
                raise CommandError(f"{endpoint} did not take the traces. Is Heliograph running (make run)?")
            sent, done = sent + len(spans), done + len(batch)
            self.stdout.write(f"\r{done} of {count} traces", ending="")
            self.stdout.flush()
        self.stdout.write("")
        exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK left it untyped
        return sent
