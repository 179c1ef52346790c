"""`python -m heliograph.ingest`: the collector, OTLP/HTTP and OTLP/gRPC in one event loop."""

import argparse
import gc
import os
import sys

import django
import uvicorn

# Between two looks for cycles among young objects: a group of requests' worth.
GC_OBJECTS = 50_000


def main() -> None:
    """Serve until SIGTERM or SIGINT; then refuse new requests, store what waits, and return."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")
    django.setup()
    from django.conf import settings  # noqa: PLC0415  # after Django is set up

    from heliograph import telemetry  # noqa: PLC0415  # as above
    from heliograph.ingest import collector, sockets  # noqa: PLC0415  # as above

    parser = argparse.ArgumentParser(prog="python -m heliograph.ingest", description=main.__doc__)
    parser.add_argument("--http-port", type=int, default=settings.OTLP_HTTP_PORT, help="0 takes a free one")
    parser.add_argument("--grpc-port", type=int, default=settings.OTLP_GRPC_PORT, help="0 takes a free one")
    options = parser.parse_args()
    # A commit gives the interpreter away at every send and read; with the default of 5 ms it waits that long for the
    # decoding threads each time.
    sys.setswitchinterval(0.001)
    # A request in flight is some thousand objects without cycles, and what was imported stays: looking through all of
    # it each 700 objects took a tenth of the processor's time.
    gc.freeze()
    gc.set_threshold(GC_OBJECTS, 20, 20)
    sockets.raise_descriptor_limit()
    telemetry.start("collector")
    uvicorn.run(
        collector.application(options.grpc_port),
        host=settings.HOST,
        port=options.http_port,
        http=sockets.HttpProtocol,
        lifespan="on",
        access_log=False,
        log_config=None,
        # A keyless export is let in by the peer's address, which no header may name.
        proxy_headers=False,
        timeout_graceful_shutdown=collector.STOP_SECONDS,
    )


if __name__ == "__main__":
    main()
