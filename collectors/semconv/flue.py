"""Flue: `flue.*` beside OpenTelemetry's keys."""

from collectors.semconv.table import Dialect

DIALECT = Dialect(
    name="flue",
    fields={
        "input": ("flue.turn.input", "flue.tool.arguments"),
        "output": ("flue.turn.output", "flue.tool.result"),
    },
)
