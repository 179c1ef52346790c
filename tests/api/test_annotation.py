"""Annotation over the public API: what a key may, what only a person may, and nobody else's."""

from typing import Any

import pytest

from heliograph.accounts.models import Membership
from heliograph.annotation.models import Annotation, Calibration, Queue
from heliograph.audit.models import Entry
from heliograph.datasets.models import Dataset, Row
from heliograph.evals.models import EvaluationRule
from tests.annotation.conftest import stored
from tests.api.test_datasets import JSON, post
from tests.api.test_endpoints import RANGE, Caller, caller, stranger  # noqa: F401  # fixtures
from tests.api.test_redaction import Person
from tests.api.test_sampling import send

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
QUEUES = "annotation/queues"
ASKED: dict[str, Any] = {
    "name": "refunds",
    "rubric": [
        {"name": "correct", "kind": "boolean"},
        {"name": "helpfulness", "kind": "number", "low": 1, "high": 5},
        {"name": "better answer", "kind": "correction"},
    ],
}


def refused(answer: Any, status: int, said: str) -> None:
    assert (answer.status_code, said in answer.content.decode()) == (status, True), answer.content


def test_a_queue_is_filled_judged_and_read_by_the_api(caller: Caller, stranger: Caller) -> None:  # noqa: F811
    rows = stored(caller.project, 3)
    queue = post(caller, QUEUES, ASKED).json()["id"]
    assert [each["kind"] for each in caller.get(f"{QUEUES}/{queue}").json()["queue"]["rubric"]] == [
        *("boolean", "number", "correction")
    ]
    added = post(caller, f"{QUEUES}/{queue}/items", {"filter": "", "limit": 2, **RANGE})
    assert (added.status_code, added.json()) == (201, {"new": 2, "known": 0, "missing": []})
    items = [rows[0]["trace_id"], f"{rows[2]['trace_id']}:{rows[2]['span_id']}", "f" * 32]
    named = post(caller, f"{QUEUES}/{queue}/items", {"items": items}).json()
    assert named == {"new": 1, "known": 1, "missing": ["f" * 32]}
    person = Person(caller, Membership.Role.EDITOR)
    for number in range(3):
        held = send(person, "post", f"{QUEUES}/{queue}/next").json()
        slot = f"{QUEUES}/{queue}/slots/{held['slot']['id']}"
        if not number:
            refused(send(person, "post", slot, {"values": {"correct": True, "helpfulness": 9}}), 400, "is from 1 to 5")
        values: dict[str, Any] = {"correct": bool(number), "helpfulness": 1 + number}
        said = send(person, "post", slot, {"values": values | ({} if number else {"better answer": "Better."})})
        assert (said.status_code, said.json()["version"]) == (201, 1)
    assert send(person, "post", f"{QUEUES}/{queue}/next").json() == {"slot": None, "item": None}
    progress = caller.get(f"{QUEUES}/{queue}").json()["progress"]
    assert (progress["done"], progress["slots"], progress["unwritten"]) == (3, 3, 0)
    page = caller.get(f"{QUEUES}/{queue}/annotations", limit=2).json()
    assert [each["values"]["helpfulness"] for each in page["items"]] == [3.0, 2.0]
    assert caller.get(f"{QUEUES}/{queue}/annotations", cursor=page["next_cursor"]).json()["items"][0]["version"] == 1
    agreement = {each["name"]: each for each in caller.get(f"{QUEUES}/{queue}/agreement").json()["items"]}
    assert (set(agreement), agreement["correct"]["alpha"]["value"]) == ({"correct", "helpfulness"}, None)
    human = caller.get("scores", name="correct", source="human", **RANGE).json()["items"]
    assert sorted(each["value"] for each in human) == [0.0, 1.0, 1.0]
    refused(post(caller, f"{QUEUES}/{queue}/corrections"), 400, "say which")
    dataset = Dataset.objects.create(project=caller.project, name="d")
    kept = post(caller, f"{QUEUES}/{queue}/corrections", {"dataset": dataset.pk})
    assert (kept.status_code, kept.json()["rows"], kept.json()["version"]) == (201, 1, 1)
    assert Row.objects.select_related("content").get().content.expected == "Better."
    item = caller.get(f"{QUEUES}/{queue}/items").json()["items"][0]["id"]
    assert caller.client.delete(f"/api/v1/{QUEUES}/{queue}/items/{item}").status_code == 204
    changed = caller.client.patch(f"/api/v1/{QUEUES}/{queue}", {"annotators_per_item": 2, "is_open": False}, **JSON)
    assert changed.json()["annotators_per_item"] == 2
    assert send(person, "post", f"{QUEUES}/{queue}/next").status_code == 409
    for body, said in (
        (ASKED, "Another queue has this name"),
        ({"name": "x", "rubric": [{"name": "n", "kind": "number"}]}, "needs bounds"),
        ({"name": "x", "rubric": []}, "Ask for one score"),
    ):
        refused(post(caller, QUEUES, body), 400, said)
    assert caller.client.delete(f"/api/v1/{QUEUES}/{queue}").status_code == 204
    assert not Annotation.objects.exists()


def test_answers_are_assigned_to_people_listed_by_them_and_taken_back(caller: Caller, stranger: Caller) -> None:  # noqa: F811
    rows = stored(caller.project, 4)
    at = f"{QUEUES}/{post(caller, QUEUES, ASKED).json()['id']}"
    post(caller, f"{at}/items", {"items": [row["trace_id"] for row in rows]})
    ann, viewer = Person(caller, Membership.Role.ANNOTATOR), Person(caller, Membership.Role.VIEWER)
    name = f"annotator-{caller.project.slug}"
    last = caller.get(f"{at}/items").json()["items"][0]
    given = post(caller, f"{at}/assign", {"people": [name], "items": [last["id"]]})
    assert (given.status_code, given.json()) == (200, {"assigned": {name: 1}})
    assert send(ann, "post", f"{at}/next").json()["item"]["id"] == last["id"]
    assert post(caller, f"{at}/assign", {"people": [name], "share": 50}).json() == {"assigned": {name: 2}}
    hers = caller.get(f"{at}/items", assignee=name).json()["items"]
    assert [slot["assignee"] for item in hers for slot in item["slots"]] == [name] * 3
    assert len(caller.get(f"{at}/items", unassigned="true").json()["items"]) == 1
    assert caller.get(at).json()["progress"]["assigned"] == 3
    entry = Entry.objects.filter(action="api-annotation-assign").latest("pk")
    assert (entry.changes[0]["name"], entry.changes[0]["fields"]) == ("refunds", [f"2 assigned to {name}"])
    for body, said in (
        ({"people": [name]}, "Give items, or a share"),
        ({"people": [name], "share": 5, "items": [1]}, "Give items, or a share"),
        ({"people": [f"viewer-{caller.project.slug}"], "share": 5}, "may not judge answers"),
        ({"people": [f"owner-{stranger.project.slug}"], "share": 5}, "may not judge answers"),
    ):
        refused(post(caller, f"{at}/assign", body), 400, said)
    refused(post(caller, f"{at}/unassign", {"people": ["who"]}), 400, "is kept for who")
    refused(post(caller, f"{at}/unassign", {}), 400, "Say whose")
    for who in (ann, viewer):
        for path, body in (("assign", {"people": [name], "share": 5}), ("unassign", {"people": [name]})):
            assert send(who, "post", f"{at}/{path}", body).status_code == 403
            assert post(stranger, f"{at}/{path}", body).status_code == 404
    assert post(caller, f"{at}/unassign", {"people": [name]}).json() == {"unassigned": 3}
    # What she has in hand stays there.
    assert [slot["annotator"] for slot in caller.get(f"{at}/items").json()["items"][0]["slots"]] == [name]


def test_a_key_does_not_judge_and_another_project_finds_nothing(caller: Caller, stranger: Caller) -> None:  # noqa: F811
    rows = stored(caller.project, 1)
    queue = Queue.objects.get(pk=post(caller, QUEUES, ASKED).json()["id"])
    post(caller, f"{QUEUES}/{queue.pk}/items", {"items": [rows[0]["trace_id"]]})
    slot, item = queue.slots.get(), queue.items.get()
    rule = EvaluationRule.objects.filter(project=caller.project).first()
    made = Calibration.objects.create(project=caller.project, queue=queue, score="groundedness", rule=rule)
    at = f"{QUEUES}/{queue.pk}"
    judging = [f"{at}/next", f"{at}/slots/{slot.pk}", f"{at}/slots/{slot.pk}/skip"]
    applying = [f"annotation/calibrations/{made.pk}/{what}" for what in ("apply", "revert")]
    viewer = Person(caller, Membership.Role.VIEWER)
    for path in (*judging, *applying):
        assert post(caller, path).status_code == 403, path
        assert send(viewer, "post", path, {}).status_code == 403, path
    outsider = Person(stranger, Membership.Role.OWNER)
    for path in (*judging, *applying, f"{at}/items", f"{at}/corrections", f"{at}/calibrations"):
        body = {"items": ["a" * 32], "dimension": "correct", "score": "s", "values": {}, "reason": "r"}
        assert send(outsider, "post", path, body).status_code == 404, path
    for path in (at, f"{at}/items", f"{at}/annotations", f"{at}/agreement", f"{at}/calibrations"):
        assert stranger.get(path).status_code == 404, path
        assert caller.get(path).status_code == 200, path
    assert stranger.client.delete(f"/api/v1/{at}/items/{item.pk}").status_code == 404
    assert stranger.client.delete(f"/api/v1/{at}").status_code == 404
    assert stranger.get(QUEUES).json()["items"] == []
    theirs = Dataset.objects.create(project=stranger.project, name="theirs")
    # What another project has and what nobody has is answered alike.
    for unknown in (theirs.pk, 10**9):
        said = post(caller, QUEUES, ASKED | {"name": "n", "dataset": unknown})
        refused(said, 400, f'Invalid pk \\"{unknown}\\" - object does not exist.')
    assert post(caller, f"{at}/corrections", {"dataset": theirs.pk}).status_code == 404
    queue.refresh_from_db()
    assert (queue.slots.get().status, Annotation.objects.count()) == ("open", 0)
    few = post(caller, f"{at}/calibrations", {"dimension": "correct", "score": "groundedness"})
    refused(few, 400, "10 of each are needed")
