"""Pinned traces and how far traces are, over the API and on the pages."""

import pytest
from django.test import Client

from heliograph.accounts.models import Membership
from heliograph.rules import pins
from heliograph.rules.models import PinnedTrace
from tests.api.test_endpoints import RANGE, Caller, assert_problem, caller, stranger  # noqa: F401  # fixtures
from tests.api.test_redaction import Person
from tests.query.rows import new_trace_id, span, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]


def a_trace(caller: Caller) -> str:  # noqa: F811
    row = span(new_trace_id(), 1)
    store_spans(caller.project.pk, row)
    return str(row["trace_id"])


def put(client: Client, trace_id: str, query: str = "") -> int:
    return client.put(f"/api/v1/traces/{trace_id}/pin{query}").status_code


def test_a_pinned_trace_is_marked_in_lists_and_listed_until_it_is_unpinned(caller: Caller) -> None:  # noqa: F811
    first, other = a_trace(caller), a_trace(caller)
    assert [put(caller.client, first) for _ in range(2)] == [200, 200]
    listed = {each["trace_id"]: each for each in caller.get("traces", **RANGE).json()["items"]}
    assert (listed[first]["is_pinned"], listed[other]["is_pinned"]) == (True, False)
    assert listed[first]["completeness"]["state"] == "running"
    assert caller.get(f"traces/{first}").json()["summary"]["is_pinned"]
    assert [each["trace_id"] for each in caller.get("pinned-traces").json()["items"]] == [first]
    assert caller.client.delete(f"/api/v1/traces/{first}/pin").status_code == 204
    assert caller.get("pinned-traces").json() == {"items": []}


def test_pins_are_of_a_project_and_of_its_editors(caller: Caller, stranger: Caller) -> None:  # noqa: F811
    trace_id = a_trace(caller)
    assert put(stranger.client, trace_id) == 404
    viewer = Person(caller, Membership.Role.VIEWER)
    assert put(viewer.client, trace_id, viewer.query) == 403
    editor = Person(caller, Membership.Role.EDITOR)
    assert put(editor.client, trace_id, editor.query) == 200
    assert PinnedTrace.objects.get(project=caller.project).pinned_by is not None
    assert stranger.client.delete(f"/api/v1/traces/{trace_id}/pin").status_code == 204
    assert PinnedTrace.objects.filter(project=caller.project).exists(), "a stranger's request is about its own project"
    assert stranger.get("pinned-traces").json() == {"items": []}


def test_pins_are_bounded(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    first, second = a_trace(caller), a_trace(caller)
    assert put(caller.client, first) == 200
    monkeypatch.setattr(pins, "MAX_PINS", 1)
    answer = caller.client.put(f"/api/v1/traces/{second}/pin")
    assert "unpin some first" in str(assert_problem(answer, 400, "trace_id"))
    caller.client.delete(f"/api/v1/traces/{first}/pin")
    assert put(caller.client, second) == 200
