"""What the decoders give, the tables take: real recordings and hostile values, inserted and read back."""

import json
from typing import Any

import pytest

from collectors.otlp import logs, metrics, traces
from collectors.otlp.limits import Limits
from collectors.semconv.dialects import DIALECTS
from heliograph.clickhouse.client import insert, query
from tests.collectors.build import START, decode_spans, span
from tests.collectors.test_recorded import NOW, RECORDED

pytestmark = pytest.mark.usefixtures("decoder")

HOSTILE: list[Any] = [
    -1,
    2**63 - 1,
    float("inf"),
    1e300,
    True,
    "",
    "\x00",
    "é" * 3_000,
    "9" * 400,
    b"\xff",
    [[]],
    {"": None},
]
KEYS = [
    source if isinstance(source, str) else source.key
    for dialect in DIALECTS
    for sources in dialect.fields.values()
    for source in sources
]


def stored(table: str, columns: dict[str, list[Any]], project_id: int) -> list[dict[str, Any]]:
    rows = len(next(iter(columns.values())))
    insert(table, {"project_id": [project_id] * rows, "retention_days": [3_650] * rows, **columns})
    return query(project_id, f"SELECT * FROM {table} WHERE project_id = %(project_id)s", tag="test")


@pytest.mark.parametrize(
    ("signal", "table"), [("traces", "spans"), ("metrics", "metric_points"), ("logs", "log_records")]
)
def test_recordings_come_back_as_they_were_decoded(store: str, project_id: int, signal: str, table: str) -> None:
    body = b"".join(file.read_bytes() for file in sorted(RECORDED.glob(f"*.{signal}.bin")))
    decoder = {"traces": traces, "metrics": metrics, "logs": logs}[signal]
    decoded = decoder.decode(body, content_type="protobuf", limits=Limits(), now_ns=NOW)
    found = stored(table, decoded.columns, project_id)
    assert len(found) == decoded.accepted > 0
    identity = {"traces": "span_id", "metrics": "metric", "logs": "record_id"}[signal]
    assert sorted(row[identity] for row in found) == sorted(decoded.columns[identity])


def test_whatever_a_known_key_holds_is_stored(store: str, project_id: int) -> None:
    spans = [
        span(
            dict.fromkeys(KEYS, value),
            span_id=number,
            name="é" * 2_000,
            events=[(START, "exception", dict.fromkeys(KEYS[:50], value))],
        )
        for number, value in enumerate(HOSTILE, start=1)
    ]
    decoded = decode_spans(*spans)
    assert decoded.accepted == len(HOSTILE)
    found = stored("spans", decoded.columns, project_id)
    assert len(found) == len(HOSTILE)
    for row in found:
        json.dumps(row, default=str)
