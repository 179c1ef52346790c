"""Rows that were encoded before the insert arrive as any others do."""

from collections.abc import Iterator

import pytest

from heliograph.clickhouse import client, errors
from heliograph.clickhouse.prepared import Prepared, prepare

pytestmark = pytest.mark.usefixtures("store")

TABLE = "prepared_rows"


@pytest.fixture
def table() -> Iterator[None]:
    client.execute_unscoped(
        f"CREATE TABLE {TABLE} (number UInt32, flag Bool, text String, tags Map(LowCardinality(String), String)) "
        "ENGINE = MergeTree ORDER BY number"
    )
    yield
    client.execute_unscoped(f"DROP TABLE {TABLE}")


def columns(first: int, rows: int = 3) -> dict[str, list[object]]:
    numbers = range(first, first + rows)
    return {
        "number": list(numbers),
        "flag": [number % 2 == 0 for number in numbers],
        "text": [f"ä{number}" * 50_000 for number in numbers],
        "tags": [{"key": str(number)} for number in numbers],
    }


def stored() -> list[tuple[object, ...]]:
    rows = client.execute_unscoped(f"SELECT * FROM {TABLE} ORDER BY number")
    return [tuple(row.values()) for row in rows]


def known(first: int) -> tuple[dict[str, list[object]], Prepared]:
    """Columns and their block, of types that the insert before has told."""
    client.insert(TABLE, columns(0))
    rows = columns(first)
    prepared = prepare(rows)
    assert prepared is not None
    return rows, prepared


@pytest.mark.usefixtures("table")
def test_prepared_rows_are_stored_as_the_columns_say() -> None:
    rows, prepared = known(first=3)
    client.insert(TABLE, rows, prepared=prepared)
    assert stored() == list(zip(*columns(0, 6).values(), strict=True))


@pytest.mark.usefixtures("table")
def test_a_column_that_was_changed_meanwhile_is_encoded_again() -> None:
    rows, prepared = known(first=3)
    rows["flag"][:] = [True, True, True]
    again = prepared.encoded_again("flag")
    assert again is not None
    client.insert(TABLE, rows, prepared=again)
    assert stored()[3:] == list(zip(*rows.values(), strict=True))


@pytest.mark.usefixtures("table")
def test_rows_are_encoded_again_where_the_table_was_altered_meanwhile() -> None:
    rows, prepared = known(first=3)
    client.execute_unscoped(f"ALTER TABLE {TABLE} MODIFY COLUMN text LowCardinality(String)")
    client.insert(TABLE, rows, prepared=prepared)
    assert stored() == list(zip(*columns(0, 6).values(), strict=True))


@pytest.mark.usefixtures("table")
def test_a_value_that_does_not_fit_is_left_to_the_insert_to_refuse() -> None:
    rows, _ = known(first=3)
    rows["number"][1] = -1
    assert prepare(rows) is None
    with pytest.raises(errors.Permanent):
        client.insert(TABLE, rows)
    assert len(stored()) == 3


def test_nothing_is_prepared_for_columns_that_no_insert_has_named_yet() -> None:
    assert prepare({"never_seen": [1]}) is None
