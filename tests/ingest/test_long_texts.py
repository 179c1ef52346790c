"""Long texts are stored once a project, before the spans that refer to them; blobs are safe before a span is."""

import base64
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from collectors.blobs import REFERENCE
from heliograph.clickhouse import client
from heliograph.ingest.commit import Committer
from heliograph.ingest.exports import Export, decode
from heliograph.ingest.signals import TRACES
from heliograph.query import spans
from tests.ingest.senders import trace_request
from tests.ingest.stack import Stack, Tenant, eventually
from tests.ingest.test_http import post

PROMPT = "You answer questions about the shop's returns. " * 60
PNG = b"\x89PNG\r\n\x1a\n" + random.Random(2).randbytes(6_000)


def turn_text(turn: int) -> str:
    return f"Turn {turn}: " + "the tool answered with a row of the table; " * 40


def agent(turns: int) -> bytes:
    """One model call a turn, each with the whole history: as messages, and a tool's span with the same answer."""
    request = trace_request(2 * turns)
    history = [{"role": "system", "parts": [{"type": "text", "content": PROMPT}]}]
    calls = request.resource_spans[0].scope_spans[0].spans
    for turn in range(turns):
        history.append({"role": "tool", "parts": [{"type": "tool_call_response", "response": turn_text(turn)}]})
        call, tool = calls[2 * turn], calls[2 * turn + 1]
        call.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
        call.attributes.add(key="gen_ai.input.messages").value.string_value = json.dumps(history)
        tool.attributes.add(key="gen_ai.operation.name").value.string_value = "execute_tool"
        tool.attributes.add(key="gen_ai.tool.call.result").value.string_value = turn_text(turn)
    return request.SerializeToString()


def with_image(data: bytes = PNG, text: str = "What is this?") -> bytes:
    request = trace_request(1)
    content = [
        {"type": "text", "text": text},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(data).decode()}},
    ]
    (call,) = request.resource_spans[0].scope_spans[0].spans
    call.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
    messages = json.dumps([{"role": "user", "content": content}])
    call.attributes.add(key="gen_ai.input.messages").value.string_value = messages
    return request.SerializeToString()


def texts(stack: Stack, tenant: Tenant) -> dict[str, int]:
    rows = stack.query("SELECT text, count() FROM contents WHERE project_id = %(p)s GROUP BY text", p=tenant.id)
    return dict(rows)


@pytest.fixture
def ask(stack: Stack) -> Iterator[Callable[[Tenant], list[spans.SpanDetail]]]:
    """Return a function that reads every span of a project as a page does."""
    before = settings.CLICKHOUSE_URL
    settings.CLICKHOUSE_URL = stack.environment["HELIOGRAPH_CLICKHOUSE_URL"]

    def read(tenant: Tenant) -> list[spans.SpanDetail]:
        ids = stack.query(
            "SELECT trace_id, span_id FROM spans WHERE project_id = %(p)s ORDER BY start_time", p=tenant.id
        )
        found = [spans.get_span(tenant.id, *each) for each in ids]
        return [span for span in found if span is not None]

    yield read
    client.close_connections()
    settings.CLICKHOUSE_URL = before


def test_a_message_repeated_through_an_agents_turns_is_stored_once(stack, tenant, ask):
    for _ in range(2):
        assert post(stack, tenant, agent(10)).status_code == 200
    assert texts(stack, tenant) == {PROMPT: 1, **{turn_text(turn): 1 for turn in range(10)}}
    longest = stack.query("SELECT max(length(input)) FROM spans WHERE project_id = %(p)s", p=tenant.id)[0][0]
    assert longest < len(PROMPT)
    found = ask(tenant)
    last = found[18]
    assert [part["response"] for message in last.input_messages[1:] for part in message.parts] == [
        turn_text(turn) for turn in range(10)
    ]
    assert json.loads(last.attributes["gen_ai.input.messages"])[0]["parts"][0]["content"] == PROMPT
    assert found[19].attributes["gen_ai.tool.call.result"] == turn_text(9)


def test_two_projects_share_no_text(stack, tenant, ask):
    other = next(stack.tenants)
    for each in (tenant, other):
        assert post(stack, each, agent(1)).status_code == 200
    hashes = [
        {row[0] for row in stack.query("SELECT hash FROM contents WHERE project_id = %(p)s", p=each.id)}
        for each in (tenant, other)
    ]
    assert len(hashes[0]) == len(hashes[1]) == 2
    assert not hashes[0] & hashes[1]
    # A reference to another project's text is a text that is not there, though a span names it as its own.
    client.insert(
        "spans",
        {
            "project_id": [other.id],
            "trace_id": ["f" * 32],
            "span_id": ["e" * 16],
            "start_time": [time.time_ns()],
            "retention_days": [90],
            "input": [f"content:b2-{min(hashes[0])};p;{len(PROMPT)};"],
            "contents": [[f"i{min(hashes[0])}"]],
        },
    )
    foreign = spans.get_span(other.id, "f" * 32, "e" * 16)
    assert foreign is not None
    assert foreign.input == f"[{len(PROMPT)} characters that were not read]"


def test_what_waits_in_the_spool_comes_whole_and_once(stack, tenant, ask):
    stack.store.stop()
    try:
        for _ in range(2):
            assert post(stack, tenant, agent(3)).status_code == 200
    finally:
        stack.start_store()
    eventually(lambda: stack.counts(tenant)[0] == 12)
    assert texts(stack, tenant).keys() == {PROMPT, *(turn_text(turn) for turn in range(3))}
    assert ask(tenant)[0].input_messages[0].text == PROMPT


class KilledError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("dies_at", ["contents", "spans", ""])
def test_texts_are_stored_before_the_spans_that_refer_to_them(store, project_id, tmp_path, monkeypatch, dies_at):
    export = Export("traces", project_id, 90, "protobuf", "", time.time_ns(), agent(2))
    insert, tables = client.insert, []

    def insert_or_die(table: str, columns: Any, **options: Any) -> None:
        tables.append(table)
        if table == dies_at:
            raise KilledError
        insert(table, columns, **options)

    monkeypatch.setattr(client, "insert", insert_or_die)
    committer, another = Committer(TRACES, tmp_path), Committer(TRACES, tmp_path)
    with nullcontext() if not dies_at else pytest.raises(KilledError):
        committer.store([decode(export)])
    assert tables == ["contents", "spans"][: 1 if dies_at == "contents" else 2]
    monkeypatch.undo()
    # Whatever was half done, the same request again makes it whole, in another process too.
    for again in (committer, another):
        again.store([decode(export)])
        again.close()
    counts = "SELECT {what} AS n FROM {table} WHERE project_id = %(project_id)s"
    assert client.query(project_id, counts.format(what="count()", table="spans"), tag="test") == [{"n": 4}]
    assert client.query(project_id, counts.format(what="uniqExact(hash)", table="contents"), tag="test") == [{"n": 3}]


def blob_files(stack: Stack, tenant: Tenant) -> list[Path]:
    return [path for path in (stack.folder / "blobs" / str(tenant.id)).rglob("*") if path.is_file()]


def test_an_image_is_kept_apart_and_referred_to(stack, tenant, ask):
    for _ in range(2):
        assert post(stack, tenant, with_image()).status_code == 200
    (file,) = blob_files(stack, tenant)
    assert file.read_bytes() == PNG
    for span in ask(tenant):
        for text in (span.input, span.attributes["gen_ai.input.messages"]):
            (found,) = REFERENCE.finditer(text)
            assert (found[1], found[2], int(found[3])) == (file.name, "image/png", len(PNG))
            assert str(file).endswith(f"{tenant.id}/{found[4]}/{file.name[:2]}/{file.name}")
        assert not span.truncated


def test_an_image_over_the_attribute_cap_is_no_text_and_is_not_cut(stack, tenant, ask):
    data = PNG + random.Random(3).randbytes(2_000_000)
    assert post(stack, tenant, with_image(data)).status_code == 200
    (file,) = blob_files(stack, tenant)
    assert file.read_bytes() == data
    assert ask(tenant)[0].truncated == ()


def test_an_export_waits_in_the_spool_while_the_blob_store_is_away(stack, tenant, ask):
    folder = stack.folder / "blobs" / str(tenant.id)
    folder.parent.mkdir(exist_ok=True)
    # A file where the project's folder has to be: every write below it fails.
    folder.write_text("")
    try:
        assert post(stack, tenant, with_image()).status_code == 200
        assert post(stack, tenant, agent(1)).status_code == 200
        assert stack.counts(tenant)[0] == 2
        assert len(stack.spooled()) == 1
    finally:
        folder.unlink()
    eventually(lambda: stack.counts(tenant)[0] == 3)
    assert [path.read_bytes() for path in blob_files(stack, tenant)] == [PNG]
    # Removed once its rows are stored.
    eventually(lambda: not stack.spooled())


@pytest.fixture(autouse=True)
def without_blobs_of_before(stack: Stack) -> Iterator[None]:
    yield
    shutil.rmtree(stack.folder / "blobs", ignore_errors=True)
