"""The decoders' columns are the tables' columns."""

import pytest

from collectors.otlp.columns import LOG_COLUMNS, METRIC_COLUMNS, SPAN_COLUMNS
from tests.collectors.tables import columns_of


@pytest.mark.parametrize(
    ("columns", "file"),
    [
        (SPAN_COLUMNS, "0001_spans.sql"),
        (METRIC_COLUMNS, "0005_metric_points.sql"),
        (LOG_COLUMNS, "0006_log_records.sql"),
    ],
)
def test_columns_are_those_of_the_table_in_its_order(columns: tuple[str, ...], file: str) -> None:
    assert columns == tuple(columns_of(file))
