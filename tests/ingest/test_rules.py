"""Redaction and head sampling from the wire to the store: what a rule blanks is nowhere, what is left out counts."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ingest.books import books
from tests.ingest.senders import logs_request, metrics_request, trace_request
from tests.ingest.stack import ROOT, Stack, Tenant, eventually

MAIL = "jane.doe@example.org"
ADD_RULES = """
import json, sys, django
django.setup()
from heliograph.rules.models import RedactionRule, SamplingRule
for model, fields in json.load(sys.stdin):
    rule = {"redaction": RedactionRule, "sampling": SamplingRule}[model](**fields)
    rule.full_clean()
    rule.append()
"""


def add_rules(stack: Stack, tenant: Tenant, *rules: tuple[str, dict[str, Any]]) -> None:
    """Make rules of a project whose key was not used yet."""
    given = json.dumps([(model, {"project_id": tenant.id, **fields}) for model, fields in rules])
    answer = subprocess.run(
        [sys.executable, "-c", ADD_RULES],
        check=False, env=stack.environment, input=given, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr


def send(stack: Stack, tenant: Tenant, signal: str, message: Any) -> None:
    headers = {**tenant.headers, "content-type": "application/x-protobuf"}
    answer = httpx.post(f"{stack.http}/v1/{signal}", content=message.SerializeToString(), headers=headers)
    assert answer.status_code == 200, answer.text


MAILS = ("redaction", {"name": "mails", "kind": "built_in", "kinds": ["email"], "action": "mask"})
USERS = ("redaction", {"name": "users", "kind": "key", "pattern": "user.id", "action": "hash"})
QUARTER = ("sampling", {"name": "a quarter", "service": "tests", "rate": 0.25})


def a_span_full_of_mail() -> Any:
    request = trace_request()
    [span] = request.resource_spans[0].scope_spans[0].spans
    request.resource_spans[0].resource.attributes.add(key="deployed.by").value.string_value = f"by {MAIL}"
    messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"x\n{MAIL}"}]}])
    for key, value in {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": messages,
        "gen_ai.output.messages": messages.replace("user", "assistant"),
        "user.id": "user 17",
        "note": MAIL,
    }.items():
        span.attributes.add(key=key).value.string_value = value
    span.status.message = f"no such user {MAIL}"
    span.events.add(name="said", time_unix_nano=span.start_time_unix_nano).attributes.add(
        key="what"
    ).value.string_value = MAIL
    return request


def test_nothing_that_a_rule_blanks_reaches_the_store_and_the_span_says_which_rule_did(
    stack: Stack, tenant: Tenant
) -> None:
    add_rules(stack, tenant, MAILS, USERS)
    send(stack, tenant, "traces", a_span_full_of_mail())
    [row] = stack.query(
        """
        SELECT redacted, user_id, input_preview, output, attributes['note'], attributes['user.id'],
            formatRow('JSONEachRow', *)
        FROM spans WHERE project_id = %(project)s
        """,
        project=tenant.id,
    )
    redacted, user_id, preview, output, note, user_attribute, whole = row
    assert MAIL not in whole
    assert "user 17" not in whole
    assert user_id == user_attribute
    assert user_id.startswith("[hashed:user.id:")
    assert preview == "x\n[redacted:email]"
    assert json.loads(output)[0]["parts"][0]["content"] == "x\n[redacted:email]"
    assert note == "[redacted:email]"
    assert set(redacted) == {
        *("mails: attributes", "mails: input", "mails: output", "mails: status_message", "mails: events"),
        *("mails: resource", "users: attributes", "users: user_id"),
    }
    [summary] = stack.query(
        """
        SELECT argMinMerge(input_preview), argMaxMerge(output_preview), max(user_id) FROM traces
        WHERE project_id = %(project)s
        """,
        project=tenant.id,
    )
    assert summary == ("x\n[redacted:email]", "x\n[redacted:email]", user_id)


def test_log_records_are_blanked_and_metrics_pass(stack: Stack, tenant: Tenant) -> None:
    add_rules(stack, tenant, MAILS)
    request = logs_request()
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    record.body.string_value = f"mail to {MAIL}"
    record.attributes.add(key="to").value.string_value = MAIL
    send(stack, tenant, "logs", request)
    send(stack, tenant, "metrics", metrics_request())
    [(body, attributes)] = stack.query(
        "SELECT body, attributes FROM log_records WHERE project_id = %(project)s", project=tenant.id
    )
    assert body == "mail to [redacted:email]"
    assert attributes == {"to": "[redacted:email]", "heliograph.redacted": "mails: body, mails: attributes"}
    assert eventually(lambda: books(stack, tenant, "logs")["redacted"]) == 1


def test_another_projects_telemetry_is_left_as_it_is(stack: Stack, tenant: Tenant) -> None:
    other = next(stack.tenants)
    add_rules(stack, tenant, MAILS, QUARTER)
    for whose in (other, tenant):
        send(stack, whose, "traces", a_span_full_of_mail())
    [(note, redacted)] = stack.query(
        "SELECT attributes['note'], redacted FROM spans WHERE project_id = %(project)s", project=other.id
    )
    assert (note, redacted) == (MAIL, [])


def test_what_is_sampled_out_is_counted_and_what_is_kept_says_for_how_many_it_stands(
    stack: Stack, tenant: Tenant
) -> None:
    add_rules(stack, tenant, QUARTER)
    request = trace_request()
    spans = request.resource_spans[0].scope_spans[0].spans
    for number in range(1, 40):
        spans.add().CopyFrom(spans[0])
        spans[number].span_id = number.to_bytes(8, "big")
        spans[number].trace_id = bytes(8) + b"\1" + (number * 2**56 // 40).to_bytes(7, "big")
    spans[0].trace_id = bytes(8) + b"\1" + bytes(7)
    send(stack, tenant, "traces", request)
    rows = stack.query("SELECT trace_id, adjusted_count FROM spans WHERE project_id = %(project)s", project=tenant.id)
    assert len(rows) == 10
    assert {count for _, count in rows} == {4.0}
    [(requests, unseen)] = stack.query(
        "SELECT sum(spans), sum(unseen_spans) FROM span_rollups_1m WHERE project_id = %(project)s", project=tenant.id
    )
    assert (requests, unseen) == (10, 30.0), "the rollup says for how many its spans stand"
    assert all(int(trace_id[18:], 16) >= 0.75 * 2**56 for trace_id, _ in rows)
    found = eventually(lambda: (seen := books(stack, tenant)) and seen["sampled"] and seen)
    assert (found["accepted"], found["sampled"], found["stored"]) == (40, 30, 10)


def test_a_span_that_its_sender_sampled_stands_for_as_many_without_any_rule_of_ours(
    stack: Stack, tenant: Tenant
) -> None:
    request = trace_request()
    for each in request.resource_spans[0].scope_spans[0].spans:
        each.trace_state = "ot=th:c"
    send(stack, tenant, "traces", request)
    rows = stack.query("SELECT adjusted_count FROM spans WHERE project_id = %(project)s", project=tenant.id)
    assert {count for (count,) in rows} == {4.0}


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack whose store may be stopped."""
    stack = Stack(tmp_path / "stack")
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def test_what_waits_on_disk_is_blanked_at_replay_and_then_gone_from_the_disk(own_stack: Stack) -> None:
    tenant = next(own_stack.tenants)
    add_rules(own_stack, tenant, MAILS)
    own_stack.store.stop()
    send(own_stack, tenant, "traces", a_span_full_of_mail())
    [file] = own_stack.spooled()
    # The body waits as it came: the rules of its replay are the ones that count.
    assert MAIL.encode() in file.read_bytes()
    own_stack.start_store()
    [(note,)] = eventually(
        lambda: own_stack.query(
            "SELECT attributes['note'] FROM spans WHERE project_id = %(project)s", project=tenant.id
        )
    )
    assert note == "[redacted:email]"
    eventually(lambda: not own_stack.spooled())
    left = [path for path in (own_stack.folder / "spool").rglob("*") if path.is_file()]
    assert not any(MAIL.encode() in path.read_bytes() for path in left)
