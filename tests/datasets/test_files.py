"""Files of rows: what is read of them, what is said of what cannot be, and that an export reads back the same."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.datasets import exports, imports, tables
from heliograph.datasets.columns import Columns
from heliograph.datasets.content import InvalidRowError, RowContent
from heliograph.datasets.models import Dataset, DatasetVersion
from heliograph.datasets.splits import parse_ratios
from heliograph.datasets.tables import UnreadableTableError
from tests.datasets.conftest import put

CSV = 'id,question,answer,topic\n1,"What is, say, 2?",two,math\n2,Who?,,people\n'


def load(data: bytes | str, kind: tables.Format, columns: Columns | None = None) -> imports.Table:
    return imports.load(io.BytesIO(data.encode() if isinstance(data, str) else data), kind, columns)


def parquet(table: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(table), file, **options)
    return file.getvalue()


def test_columns_are_guessed_by_their_names_and_the_rest_is_metadata() -> None:
    first, second = load("\ufeff" + CSV, "csv").rows
    assert (first.key, first.input, first.expected) == ("1", "What is, say, 2?", "two")
    assert (first.metadata, second.expected) == ({"topic": "math"}, None)


def test_a_given_mapping_makes_objects_of_several_columns() -> None:
    chosen = Columns(input=("question", "topic"), expected=("answer",))
    assert [row.input for row in load(CSV, "csv", chosen).rows] == [
        {"question": "What is, say, 2?", "topic": "math"},
        {"question": "Who?", "topic": "people"},
    ]
    with pytest.raises(InvalidRowError, match="the file has no nosuch; it has id, question"):
        load(CSV, "csv", Columns(input=("nosuch",)))


def test_each_row_that_cannot_be_kept_is_named_by_its_line_and_column() -> None:
    table = load('input,id\n"two\nlines",a\n,b\nshort\nfine,c\n', "csv")
    assert [(fault.line, fault.column) for fault in table.faults] == [(4, "input"), (5, "")]
    assert "header names 2 columns" in table.faults[1].message
    assert [row.key for row in table.rows] == ["a", "c"]
    lines = load('{"input": "a"}\n\n[1]\n{"input": NaN}\n{broken\n{"input": "b", "more": 1}\n', "jsonl")
    assert [fault.line for fault in lines.faults] == [3, 4, 5]
    assert [(row.input, row.metadata) for row in lines.rows] == [("a", {}), ("b", {"more": 1})]


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (b"", "csv", "must name the columns"),
        (b"a,a\n1,2\n", "csv", "has a"),
        ("input\nn\u00e4\n".encode("latin-1"), "csv", "not UTF-8"),
        (b"PAR1 no parquet PAR1", "parquet", "no Parquet file"),
        (b"\x1f\x8b\x08 no Parquet", "parquet", "no Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(data: bytes, kind: tables.Format, said: str) -> None:
    with pytest.raises(UnreadableTableError, match=said):
        load(data, kind)


def test_a_small_parquet_file_that_unpacks_to_much_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = parquet({"input": ["x" * 500_000] * 40}, compression="zstd")
    assert len(bomb) < 100_000
    monkeypatch.setattr(tables, "MAX_UNPACKED_BYTES", 2**24)
    with pytest.raises(UnreadableTableError, match="unpacks to more"):
        load(bomb, "parquet")


def test_parquet_keeps_lists_and_numbers_and_writes_times_as_text() -> None:
    data = parquet({"input": ["q"], "contexts": [["one", "two"]], "n": [1.5], "at": [pa.scalar(0, pa.timestamp("s"))]})
    [row] = load(data, "parquet").rows
    assert (row.context, row.metadata) == (["one", "two"], {"n": 1.5, "at": "1970-01-01T00:00:00"})


def test_rows_of_one_input_come_into_one_split() -> None:
    rows = [RowContent(input="same", expected=number) for number in range(20)] + [
        RowContent(input=str(n)) for n in range(20)
    ]
    split = imports.split_by(rows, parse_ratios("train=1,test=1"), seed=3)
    assert len({row.split for row in split[:20]}) == 1
    assert {row.split for row in split[20:]} == {"train", "test"}


_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from(["csv", "jsonl"]))
def test_any_bytes_are_rows_faults_or_a_reason(data: bytes, kind: tables.Format) -> None:
    try:
        table = load(data, kind)
    except (UnreadableTableError, InvalidRowError):
        return
    assert table.fault_count >= len(table.faults)


@pytest.mark.django_db
@pytest.mark.parametrize("kind", tables.FORMATS)
def test_an_export_reads_back_to_the_same_version(dataset: Dataset, kind: tables.Format) -> None:
    rows = [
        RowContent(key="a", input='a "text", with\nlines', expected="1", split="test", metadata={"n": 1}),
        RowContent(key="b", input=[{"role": "user", "content": "Hi"}], context=["one", "two"]),
        RowContent(key="c", input={"question": "Q"}, expected={"deep": [1, None]}),
    ]
    version = put(dataset, *rows)
    with exports.export(version, kind) as file:
        table = imports.load(file, kind)  # type: ignore[arg-type]  # a temporary file is one of bytes
    again = Dataset.objects.create(project=dataset.project, name="again")
    names = {"trace_id", "span_id"}
    assert [row.canonical for row in table.rows] == [row.canonical for row in rows]
    assert [(row.key, row.split) for row in table.rows] == [("a", "test"), ("b", ""), ("c", "")]
    assert put(again, *table.rows).rows == 3
    assert not any(names & set(row.metadata) for row in table.rows)
    if kind == "jsonl":
        with exports.export(version, kind, "test") as file:
            assert [json.loads(line)["id"] for line in file] == ["a"]
    assert DatasetVersion.objects.count() == 2
