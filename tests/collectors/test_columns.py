"""The decoders' columns are the tables' columns."""

import re
from pathlib import Path

import pytest

from collectors.otlp.columns import LOG_COLUMNS, METRIC_COLUMNS, SPAN_COLUMNS

SCHEMA = Path(__file__).parents[2] / "platform" / "heliograph" / "clickhouse" / "schema"
# The writer adds these.
NOT_DECODED = {"project_id", "retention_days", "received_at"}


def columns_of(file: str) -> tuple[str, ...]:
    text = (SCHEMA / file).read_text()
    body = text[text.index("(\n") : text.index("\n)\nENGINE")]
    found: list[str] = []
    nested = ""
    for line in map(str.strip, body.splitlines()):
        if match := re.match(r"(\w+) Nested$", line):
            nested = f"{match[1]}."
        elif line.startswith(")"):
            nested = ""
        elif (match := re.match(r"(\w+) [A-Z]\w+", line)) and match[1] not in {"INDEX"}:
            found.append(nested + match[1])
    return tuple(name for name in found if name not in NOT_DECODED)


@pytest.mark.parametrize(
    ("columns", "file"),
    [
        (SPAN_COLUMNS, "0001_spans.sql"),
        (METRIC_COLUMNS, "0005_metric_points.sql"),
        (LOG_COLUMNS, "0006_log_records.sql"),
    ],
)
def test_columns_are_those_of_the_table_in_its_order(columns: tuple[str, ...], file: str) -> None:
    assert columns == columns_of(file)
