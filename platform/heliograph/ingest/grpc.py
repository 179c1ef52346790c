"""OTLP/gRPC: the Export calls of TraceService, MetricsService and LogsService.

The handlers take raw bytes, so that a message is parsed once, by the same decoder as HTTP's.
https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import grpc
from django.conf import settings

from heliograph.ingest import answers
from heliograph.ingest.auth import Tenant
from heliograph.ingest.exports import Export
from heliograph.ingest.pipeline import Receiver, count_refusal
from heliograph.ingest.refusals import Refusal
from heliograph.ingest.signals import SIGNALS, Signal

# gRPC's own default of 4 MiB refuses what the Collector sends in one batch. Decompression is gRPC's, and this bounds
# a message after it too.
MAX_MESSAGE_BYTES = settings.MAX_BODY_BYTES
# Calls beyond are refused with RESOURCE_EXHAUSTED by gRPC itself: each waits for its commit and holds its message.
MAX_CALLS = 2_000
_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}

_Handler = Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]


def server(pipeline: Receiver, address: str) -> tuple[grpc.aio.Server, int]:
    """Return a server that is not started yet, and the port it bound; port 0 takes a free one.

    Raises RuntimeError where the address cannot be bound.
    """
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        # Two collectors on one port would share its connections at random; the second shall fail to start instead.
        ("grpc.so_reuseport", 0),
    ]
    result = grpc.aio.server(options=options, maximum_concurrent_rpcs=MAX_CALLS)
    for signal in SIGNALS.values():
        method = grpc.unary_unary_rpc_method_handler(_handler(pipeline, signal))
        result.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(signal.grpc_service, {"Export": method}),)
        )
    return result, result.add_insecure_port(address)


def _handler(pipeline: Receiver, signal: Signal) -> _Handler:
    async def handle(message: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        tenant: Tenant | None = None
        try:
            tenant = await pipeline.authenticate(headers, _host(context.peer()))
            with pipeline.room.share() as share:
                share.take(len(message))
                export = Export(
                    signal=signal.name,
                    project_id=tenant.project_id,
                    retention_days=tenant.retention_days,
                    content_type="protobuf",
                    content_encoding="",
                    received_ns=time.time_ns(),
                    body=message,
                    key_id=tenant.key_id,
                )
                rejected = await pipeline.receive(export, share, tenant)
        except Refusal as refusal:
            count_refusal(signal.name, refusal, tenant)
            details = ("grpc-status-details-bin", answers.status(refusal).SerializeToString())
            await context.abort(_STATUS_CODES[refusal.code], refusal.message, (details,))
        return answers.success(signal, rejected).SerializeToString()

    return handle


def _host(peer: str) -> str:
    """Return the address in gRPC's `ipv4:127.0.0.1:4317` or `ipv6:%5B::1%5D:4317`."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")
