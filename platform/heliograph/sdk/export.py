"""Ended spans to the server: bounded, masked, and off the caller's thread."""

import logging
import os
from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from heliograph.sdk.contexts import plain
from heliograph.sdk.masking import Mask, mask_span
from heliograph.sdk.outbox import EXIT_S, Outbox

logger = logging.getLogger("heliograph.sdk")

# OpenTelemetry's default is 2,048 spans; a server that restarts is away for some seconds.
MOST_SPANS = 8_192
# What of texts may wait; the spans around them take about as much again where they are small.
MOST_BYTES = 64 * 2**20
# The server takes bodies of 32 MiB (HELIOGRAPH_MAX_BODY_BYTES).
BATCH_SPANS, BATCH_BYTES = 512, 8 * 2**20
# A span's own: ids, times, names and the objects that hold them.
_SPAN_BYTES = 1_000


class SpanSender(SpanProcessor):
    """Sends ended spans by an exporter that is made on the sending thread of each process.

    A forked child makes its own: two processes on one connection would read each other's answers.
    """

    def __init__(
        self,
        make_exporter: Callable[[], SpanExporter],
        mask: Mask | None = None,
        *,
        most_spans: int = MOST_SPANS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._make_exporter, self._mask = make_exporter, mask
        self._exporter: SpanExporter | None = None
        self._pid = 0
        self.outbox: Outbox[ReadableSpan] = Outbox(
            "spans",
            self._send,
            most_items=most_spans,
            most_bytes=most_bytes,
            batch_items=BATCH_SPANS,
            batch_bytes=BATCH_BYTES,
        )

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is known yet."""

    def on_end(self, span: ReadableSpan) -> None:
        """Leave a sampled span to be sent."""
        try:
            if span.context is not None and span.context.trace_flags.sampled:
                self.outbox.put(span, _size(span))
        except Exception:  # telemetry must not break what it watches
            logger.debug("heliograph: a span was lost", exc_info=True)

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Wait until what ended before is sent; False where that takes longer."""
        return self.outbox.flush(EXIT_S if timeout_millis is None else timeout_millis / 1_000)

    def shutdown(self) -> None:
        """Send what waits, for a few seconds, and end."""
        self.outbox.close()
        if self._exporter is not None and self._pid == os.getpid():
            # Ends the waits between its retries, should the thread be in one.
            self._exporter.shutdown()
            self._exporter = None

    def _send(self, spans: Sequence[ReadableSpan]) -> int:
        if self._exporter is None or self._pid != os.getpid():
            self._exporter, self._pid = self._make_exporter(), os.getpid()
        if self._mask is not None:
            mask = self._mask
            spans = [mask_span(mask, span) for span in spans]
        return 0 if self._exporter.export(spans) is SpanExportResult.SUCCESS else len(spans)


def _size(span: ReadableSpan) -> int:
    """Return about how many bytes a span holds: its texts, which are what can be large."""
    size = _SPAN_BYTES
    for value in plain(span.attributes).values():
        size += len(value) if type(value) is str else _length(value)
    for event in span.events:
        size += sum(map(_length, (event.attributes or {}).values()))
    return size


def _length(value: object) -> int:
    if type(value) is str:
        return len(value)
    return sum(map(_length, value)) if isinstance(value, (tuple, list)) else 8
