"""Comet Opik: `opik.*` beside other conventions' keys.

https://www.comet.com/docs/opik/tracing/opentelemetry/overview
"""

from collectors.semconv.table import Dialect

DIALECT = Dialect(
    name="opik",
    fields={
        "session_id": ("opik.thread_id",),
        "tags": ("opik.tags",),
    },
)
