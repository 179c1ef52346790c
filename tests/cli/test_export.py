"""Exports: the three formats, and one that is interrupted."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from heliograph.accounts.models import Project
from heliograph.cli.frame import api as api_module
from tests.cli.conftest import Cli
from tests.query.rows import START, new_trace_id, span, store_spans

SINCE = ("--since", START.isoformat())


@pytest.fixture
def names(project: Project, store: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Store 25 spans, read by pages of ten."""
    monkeypatch.setattr(api_module, "PAGE", 10)
    monkeypatch.setattr(api_module.Api.pages, "__kwdefaults__", {"cursor": "", "size": 10})
    made = [span(new_trace_id(), number, name=f"=step {number}") for number in range(25)]
    store_spans(project.pk, *made)
    return [row["name"] for row in reversed(made)]


def test_spans_are_exported_whole_in_each_format(cli: Cli, stranger: Cli, names: list[str], tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.csv", "a.parquet", "a.jsonl.gz"):
        said = cli.json("export", "spans", str(tmp_path / name), *SINCE)
        assert said["rows"] == 25
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["name"] for line in lines] == names
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).decode().splitlines() == lines
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["name"] for row in csv.DictReader(stream)] == [f"'{name}" for name in names]
    table = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["name"] for row in table] == names
    assert table[0]["duration_ns"] == 10**9
    assert stranger.json("export", "spans", str(tmp_path / "b.jsonl"), *SINCE)["rows"] == 0
    assert "exists" in cli("export", "spans", str(tmp_path / "a.csv"), *SINCE, code=2).output


def test_an_interrupted_export_goes_on_behind_its_last_whole_page(
    cli: Cli, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    get = api_module.Api.get

    def failing(self: Any, path: str, parameters: Any = None) -> Any:
        asked.append(parameters)
        if len(asked) == 3:
            raise api_module.AwayError("gone")
        return get(self, path, parameters)

    path = tmp_path / "a.csv"
    monkeypatch.setattr(api_module.Api, "get", failing)
    cli("export", "spans", str(path), *SINCE, code=4)
    with path.open("a", encoding="utf-8") as torn:
        torn.write("half a li")
    assert "another export" in cli("export", "spans", str(path), "--kind", "llm", *SINCE, code=2).output
    assert cli.json("export", "spans", str(path), *SINCE)["rows"] == 25
    with path.open(encoding="utf-8", newline="") as stream:
        assert [row["name"] for row in csv.DictReader(stream)] == [f"'{name}" for name in names]
    assert {each["end"] for each in asked} == {asked[0]["end"]}
    assert not (tmp_path / "a.csv.state").exists()
