"""Exports of Langfuse, MLflow and Phoenix through the command into a real server, and what goes wrong on the way.

`exports/mlflow.jsonl` is what mlflow 3.17's `Trace.to_json()` wrote of traced functions, `langfuse_api.jsonl` what the
models of Langfuse's own client (3.x, `TraceWithFullDetails`) print. Phoenix's frames are constructed here after its
documentation: a column an attribute, nested values inside.
"""

import csv
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from heliograph.importing.model import Report, Score, Span, UnusableError, nanoseconds, span_id_of, trace_id_of
from heliograph.importing.reading import UnreadableError, records
from heliograph.importing.run import CONVERTERS
from tests.ingest.stack import ROOT, Stack, Tenant, eventually

EXPORTS = Path(__file__).parent / "exports"
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("import"))
    stack.start()
    stack.start_web()
    yield stack
    stack.stop()


@pytest.fixture
def tenant(stack: Stack) -> Tenant:
    return next(stack.tenants)


def heliograph(stack: Stack, tenant: Tenant, *arguments: str | Path, code: int = 0) -> Any:
    """Run the command as a person would and return what `--json` prints."""
    own = {"HELIOGRAPH_URL": stack.web_http, "HELIOGRAPH_API_KEY": tenant.key, "XDG_STATE_HOME": str(stack.folder)}
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", **own}
    command = [sys.executable, "-m", "heliograph.cli", *map(str, arguments), "--json"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=360)
    assert result.returncode == code, result.stderr
    return json.loads(result.stdout) if result.stdout else result.stderr


def spans_of(stack: Stack, tenant: Tenant) -> dict[str, dict[str, Any]]:
    columns = "name, kind, trace_id, span_id, parent_span_id, service, model, input_tokens, output_tokens, session_id, "
    columns += "user_id, tags, prompt_name, prompt_version, status, status_message, ttft_ns, duration_ns, input, output"
    rows = stack.query(f"SELECT {columns} FROM spans WHERE project_id = %(id)s", id=tenant.id)
    return {row[0]: dict(zip(columns.split(", "), row, strict=True)) for row in rows}


def scores_of(stack: Stack, tenant: Tenant) -> dict[str, tuple[Any, ...]]:
    sql = (
        "SELECT name, value, label, explanation, author, trace_id, span_id FROM scores FINAL WHERE project_id = %(id)s"
    )
    return {row[0]: row[1:] for row in stack.query(sql, id=tenant.id)}


def recent(name: str, folder: Path) -> Path:
    """Copy a recorded export with its times moved to yesterday: the server refuses what is older than it keeps."""
    text = (EXPORTS / name).read_text(encoding="utf-8")
    text = re.sub(r"2026-11-(20|28)", f"{YESTERDAY:%Y-%m-%d}", text)
    for moment in sorted(set(re.findall(r"\b1795\d{15}\b", text))):
        text = text.replace(moment, str(int(YESTERDAY.timestamp()) * 10**9 + int(moment) % 10**9))
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_langfuse_traces_come_with_their_ids_usage_prompts_and_scores_and_twice_is_once(
    stack: Stack, tenant: Tenant, tmp_path: Path
) -> None:
    export = recent("langfuse_api.jsonl", tmp_path)
    for _ in range(2):
        said = heliograph(stack, tenant, "import", "langfuse", export)
        assert (said["records"], said["spans"], said["scores"], said["left_out"]) == (1, 4, 2, {})
    found = spans_of(stack, tenant)
    assert len(stack.query("SELECT 1 FROM spans WHERE project_id = %(id)s", id=tenant.id)) == 4
    root, answer, chat, tool = (found[name] for name in ("support request", "answer", "chat", "look up"))
    assert {each["trace_id"] for each in found.values()} == {"7f3c2b1a9d8e4f60a1b2c3d4e5f60718"}
    assert (answer["span_id"], answer["parent_span_id"]) == ("00f067aa0ba902b7", root["span_id"])
    assert (chat["parent_span_id"], chat["kind"], answer["kind"], tool["kind"]) == (
        "00f067aa0ba902b7",
        "llm",
        "agent",
        "tool",
    )
    assert (chat["model"], chat["input_tokens"], chat["output_tokens"]) == ("gpt-4o-mini", 12, 3)
    assert (chat["prompt_name"], chat["prompt_version"], chat["ttft_ns"]) == ("support", "3", 500_000_000)
    assert (chat["session_id"], chat["user_id"], chat["service"]) == ("s-1", "alice", "shop")
    assert list(root["tags"]) == ["beta", "eu"]
    assert root["duration_ns"] == 2_500_000_000
    assert (tool["status"], tool["status_message"]) == ("error", "no such article")
    assert "How long" in chat["input"]
    scores = scores_of(stack, tenant)
    assert scores["helpful"][:4] == (0.8, "", "was right", "langfuse:u-1")
    assert scores["helpful"][5] == "00f067aa0ba902b7"
    assert scores["tone"][:2] == (1.0, "friendly")


def test_mlflow_traces_come_with_sessions_assessments_and_exceptions(
    stack: Stack, tenant: Tenant, tmp_path: Path
) -> None:
    said = heliograph(stack, tenant, "import", "mlflow", recent("mlflow.jsonl", tmp_path), "--service", "shop")
    assert (said["spans"], said["scores"]) == (3, 2)
    assert said["left_out"] == {"assessment: an expectation, which belongs in a data set": 1}
    found = spans_of(stack, tenant)
    answer, chat, fails = found["answer"], found["chat"], found["fails"]
    assert answer["trace_id"] == "8c2718c93c9c157d1d38ae53d734d513"
    assert chat["parent_span_id"] == answer["span_id"]
    assert (answer["session_id"], answer["user_id"]) == ("s-1", "alice")
    assert (chat["kind"], chat["model"], chat["input_tokens"], chat["output_tokens"]) == ("llm", "gpt-4o-mini", 12, 3)
    assert (fails["status"], fails["status_message"]) == ("error", "ValueError: no such article")
    assert chat["service"] == "shop"
    scores = scores_of(stack, tenant)
    assert scores["helpful"][:4] == (1.0, "", "was right", "human:alice")
    assert scores["groundedness"][0] == 0.75


def phoenix_rows() -> list[dict[str, Any]]:
    """Rows as `get_spans_dataframe()` has them: every column in every row, None where a span lacks it."""
    usual = {"status_message": "", "events": [], "attributes.llm.input_messages": None, "attributes.metadata": None}
    usual |= {"attributes.llm.model_name": None, "attributes.llm.token_count.prompt": None}
    root = {
        "name": "ask",
        "span_kind": "CHAIN",
        "parent_id": None,
        "start_time": YESTERDAY,
        "end_time": YESTERDAY + timedelta(seconds=2),
        "status_code": "OK",
        "context.span_id": "5fb397be34d26b51",
        "context.trace_id": "5b8efff798038103d269b633813fc60c",
        "attributes.metadata": {"plan": "gold"},
    }
    call = {
        **root,
        "name": "ChatCompletion",
        "span_kind": "LLM",
        "parent_id": "5fb397be34d26b51",
        "status_code": "ERROR",
        "status_message": "rate limited",
        "context.span_id": "eee19b7ec3c1b174",
        "attributes.metadata": None,
        "attributes.llm.model_name": "gpt-4o",
        "attributes.llm.token_count.prompt": 12.0,
        "attributes.llm.input_messages": [{"message.role": "user", "message.content": "How long is the warranty?"}],
        "events": [{"name": "exception", "timestamp": YESTERDAY, "attributes": {"exception.message": "429"}}],
    }
    return [usual | root, usual | call]


def test_phoenix_frames_come_as_parquet_with_annotations_of_another_file(
    stack: Stack, tenant: Tenant, tmp_path: Path
) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(phoenix_rows()), tmp_path / "spans.parquet")
    annotation = {"span_id": "eee19b7ec3c1b174", "annotation_name": "helpful", "annotator_kind": "HUMAN"}
    annotation |= {"result.score": 1.0, "result.label": "yes", "result.explanation": None}
    elsewhere = annotation | {"span_id": "0000000000000001"}
    notes = tmp_path / "annotations.jsonl.gz"
    notes.write_bytes(gzip.compress("\n".join(map(json.dumps, (annotation, elsewhere))).encode()))
    said = heliograph(stack, tenant, "import", "phoenix", notes, tmp_path / "spans.parquet", "--strict", code=1)
    assert (said["spans"], said["scores"]) == (2, 1)
    assert said["left_out"] == {"record: an annotation of a span that is in none of the files": 1}
    found = spans_of(stack, tenant)
    call = found["ChatCompletion"]
    assert (call["kind"], call["model"], call["input_tokens"]) == ("llm", "gpt-4o", 12)
    assert (call["parent_span_id"], call["status"]) == ("5fb397be34d26b51", "error")
    assert "How long" in call["input"]
    assert scores_of(stack, tenant)["helpful"][:2] == (1.0, "yes")


def langfuse_rows(count: int) -> list[dict[str, Any]]:
    """Rows as the export to blob storage has them, in snake case, constructed after Langfuse's documentation."""
    start = YESTERDAY.isoformat()
    return [
        {
            "id": f"observation-{number}",
            "trace_id": f"trace-{number}",
            "type": "SPAN",
            "name": f"step {number}",
            "start_time": start,
            "end_time": start,
            "parent_observation_id": None,
            "input": "x" * 20_000,
        }
        for number in range(count)
    ]


def test_an_import_that_is_killed_goes_on_where_it_was_and_counts_everything_once(
    stack: Stack, tenant: Tenant, tmp_path: Path
) -> None:
    export = tmp_path / "observations.jsonl"
    count = 1_800
    export.write_text("".join(json.dumps(row) + "\n" for row in langfuse_rows(count)), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", "HELIOGRAPH_URL": stack.web_http}
    environment |= {"HELIOGRAPH_API_KEY": tenant.key, "XDG_STATE_HOME": str(stack.folder)}
    command = [sys.executable, "-m", "heliograph.cli", "import", "langfuse", str(export)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        eventually(lambda: list((stack.folder / "heliograph").glob("import-*.json")) or process.poll() is not None, 60)
        process.kill()
    said = heliograph(stack, tenant, "import", "langfuse", export)
    total = stack.query("SELECT count(), uniqExact(span_id) FROM spans WHERE project_id = %(id)s", id=tenant.id)
    assert total == [(count, count)]
    assert said["records"] <= count
    assert not list((stack.folder / "heliograph").glob("import-*.json"))


def convert(source: str, *rows: dict[str, Any]) -> tuple[list[Span | Score], Report]:
    converter, report, made = CONVERTERS[source](), Report(), []
    for row in rows:
        converter.scan(row)
    for row in rows:
        try:
            made += list(converter.convert(row, report))
        except UnusableError as error:
            report.leave_out(str(error))
    return made, report


def test_langfuse_files_that_stand_apart_are_joined_in_any_order(tmp_path: Path) -> None:
    (observation,) = langfuse_rows(1)
    trace = {"id": "trace-0", "timestamp": YESTERDAY.isoformat(), "name": "request", "user_id": "alice"}
    score = {"id": "s", "traceId": "trace-0", "name": "ok", "value": True, "dataType": "BOOLEAN"}
    run = {"id": "s2", "name": "ok", "value": 1, "dataType": "NUMERIC", "datasetRunId": "r"}
    (child, root, verdict), report = convert("langfuse", observation, trace, score, run)
    assert isinstance(child, Span)
    assert isinstance(root, Span)
    assert isinstance(verdict, Score)
    assert (child.parent_id, child.trace_id) == (root.span_id, root.trace_id)
    assert child.trace_id == verdict.body["trace_id"] == trace_id_of("trace-0")
    assert (verdict.body["value"], child.attributes["langfuse.id"]) == (1.0, "observation-0")
    assert sum(report.left_out.values()) == 1


def test_a_csv_of_langfuses_interface_is_read_with_its_json_cells(tmp_path: Path) -> None:
    path = tmp_path / "observations.csv"
    row = {"id": "o1", "traceId": "t1", "type": "GENERATION", "startTime": YESTERDAY.isoformat(), "name": "chat"}
    row |= {"usageDetails": '{"input": 3, "output": 4}', "input": '[{"role":"user","content":"Hi"}]', "level": ""}
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, row)
        writer.writeheader()
        writer.writerow(row)
    (span,), _ = convert("langfuse", *records(path))
    assert isinstance(span, Span)
    assert json.loads(span.attributes["langfuse.observation.usage_details"]) == {"input": 3, "output": 4}


def test_ids_of_opentelemetry_stay_and_others_are_the_same_each_time() -> None:
    assert trace_id_of("7F3C2B1A-9d8e-4f60-a1b2-c3d4e5f60718") == "7f3c2b1a9d8e4f60a1b2c3d4e5f60718"
    assert span_id_of("00f067aa0ba902b7") == "00f067aa0ba902b7"
    assert trace_id_of("clx1") == trace_id_of("clx1") != trace_id_of("clx2")
    assert len(span_id_of("7f3c2b1a-9d8e-4f60-a1b2-c3d4e5f60718")) == 16
    with pytest.raises(UnusableError):
        trace_id_of("")
    assert trace_id_of("0" * 32) != "0" * 32


def test_times_keep_their_nanoseconds() -> None:
    assert nanoseconds("2026-01-31T12:00:00.123456789Z") == nanoseconds("2026-01-31T12:00:00Z") + 123_456_789
    assert nanoseconds("2026-01-31T12:00:00") == nanoseconds("2026-01-31T13:00:00+01:00")
    assert nanoseconds(1769860800000) == nanoseconds(1769860800000000000) == nanoseconds("2026-01-31T12:00:00Z")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        *("id", "traceId", "trace_id", "type", "startTime", "start_time", "endTime", "observations", "scores", "value"),
        *(
            "dataType",
            "subject",
            "usage",
            "metadata",
            "tags",
            "name",
            "input",
            "level",
            "info",
            "data",
            "trace",
            "spans",
        ),
        *("assessments", "context", "attributes", "events", "context.span_id", "context.trace_id", "annotation_name"),
        *("result", "span_id", "attributes.llm", "timestamp", "latency", "usageDetails"),
    ]
)


@settings(deadline=None, max_examples=150)
@example(source="phoenix", row={"context.span_id": 1, "context.trace_id": 1})
@given(source=st.sampled_from(sorted(CONVERTERS)), row=st.dictionaries(FIELDS, VALUES, max_size=8))
def test_a_record_that_makes_no_sense_is_left_out_and_stops_nothing(source: str, row: dict[str, Any]) -> None:
    made, report = convert(source, row)
    assert made or report.left_out or row.get("observations") is not None


def test_files_that_are_not_what_they_say_are_named_with_the_line(tmp_path: Path, stack: Stack, tenant: Tenant) -> None:
    bad = tmp_path / "x.jsonl"
    bad.write_text('{"a": 1}\nnot json\n', encoding="utf-8")
    with pytest.raises(UnreadableError, match="line 2"):
        list(records(bad))
    for name, content in (
        ("y.json", b"3"),
        ("z.parquet", b"PAR1"),
        ("g.jsonl.gz", b"\x1f\x8b broken"),
        ("u.jsonl", b"\xff\n"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableError):
            list(records(tmp_path / name))
    assert "line 2" in heliograph(stack, tenant, "import", "mlflow", bad, code=1)
    nothing = heliograph(stack, tenant, "import", "mlflow", EXPORTS / "mlflow.jsonl", "--dry-run")
    assert (nothing["spans"], nothing["dry_run"]) == (3, True)
    assert spans_of(stack, tenant) == {}
