"""Answers that are kept for particular people: dealt out evenly, first in their turn, and never stuck."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from heliograph.accounts.models import Membership, Project, ProjectMembership, User
from heliograph.annotation import assigning, leases, queues, saving
from heliograph.annotation.assigning import AssigningError
from heliograph.annotation.models import Queue, Slot
from tests.annotation.conftest import MakeQueue, Person, invented

GOOD = {"correct": True, "helpfulness": 5}
pytestmark = pytest.mark.usefixtures("store")


def judged(queue: Queue, who: User) -> int:
    """Have somebody judge all that they get; return the item of the first."""
    first = 0
    while slot := leases.claim(queue, who):
        first = first or slot.item_id
        saving.save(slot, who, GOOD)
    return first


def test_a_share_is_dealt_out_evenly_and_each_person_gets_an_answer_once(make_queue: MakeQueue, person: Person) -> None:
    queue = make_queue(annotators_per_item=2)
    items = invented(queue, 10)
    ann, bob, eve = person("ann"), person("bob"), person("eve")
    assert assigning.assign(queue, [ann, bob, eve], share=60) == {ann: 4, bob: 4, eve: 4}
    kept = queue.slots.exclude(assignee=None)
    assert {slot.item_id for slot in kept} == {item.pk for item in items[:6]}
    assert max(Counter((slot.item_id, slot.assignee_id) for slot in kept).values()) == 1
    assert queues.progress(queue).assigned == 12
    # The rest of a queue to one person: one place an answer, the other stays open to all.
    assert assigning.assign(queue, [ann], share=100) == {ann: 4}
    assert assigning.assign(queue, [ann], share=100) == {ann: 0}
    assert queue.slots.filter(assignee=None).count() == 4


def test_what_is_assigned_comes_first_and_goes_to_nobody_else(make_queue: MakeQueue, person: Person) -> None:
    queue = make_queue()
    first, second, third = invented(queue, 3)
    ann, bob = person("ann"), person("bob")
    assert assigning.assign(queue, [ann], items=[third.pk]) == {ann: 1}
    held = leases.claim(queue, ann)
    assert held is not None
    assert held.item == third
    leases.release(held, ann)
    assert judged(queue, bob) == first.pk
    assert set(queue.slots.filter(annotator=bob).values_list("item", flat=True)) == {first.pk, second.pk}
    assert judged(queue, ann) == third.pk
    (slot,) = third.slots.all()
    assert (slot.status, slot.annotator, slot.assignee) == (Slot.Status.DONE, ann, ann)
    queue.refresh_from_db()
    assert queue.finished_at is not None
    assert [(each.person, each.waiting, each.done) for each in assigning.shares(queue)] == [(ann, 0, 1), (bob, 0, 2)]


def test_a_skip_a_role_that_ended_and_a_take_back_open_what_was_assigned_to_all(
    make_queue: MakeQueue, person: Person, project: Project
) -> None:
    queue = make_queue()
    items = invented(queue, 3)
    ann, bob = person("ann"), person("bob")
    assigning.assign(queue, [ann], share=100)
    held = leases.claim(queue, ann)
    assert held is not None
    leases.skip(held, ann, "not my language")
    taken = leases.claim(queue, bob)
    assert taken is not None
    assert taken.item == items[0]
    saving.save(taken, bob, GOOD)
    assert leases.claim(queue, bob) is None
    # Who skipped an answer is not given it again.
    assert assigning.unassign(queue, people=[ann], items=[items[1].pk]) == 1
    following = leases.claim(queue, bob)
    assert following is not None
    assert following.item == items[1]
    saving.save(following, bob, GOOD)
    assert assigning.assign(queue, [ann], items=[items[0].pk, items[1].pk]) == {ann: 0}
    assert leases.claim(queue, bob) is None
    Membership.objects.filter(user=ann).update(role=Membership.Role.VIEWER)
    assert [(each.person, each.may_judge) for each in assigning.shares(queue)] == [(ann, False), (bob, True)]
    last = leases.claim(queue, bob)
    assert last is not None
    assert (last.item, last.assignee) == (items[2], None)
    with pytest.raises(AssigningError, match="ann may not judge"):
        assigning.people_named(project, ["bob", "ann"])
    ProjectMembership.objects.create(project=project, user=ann, role=Membership.Role.ANNOTATOR)
    assert assigning.people_named(project, ["ann", "bob", "ann"]) == [ann, bob]


def test_what_somebody_has_in_hand_is_not_assigned_and_what_lies_is(make_queue: MakeQueue, person: Person) -> None:
    queue = make_queue(lease_minutes=15)
    invented(queue, 1)
    ann, bob, now = person("ann"), person("bob"), timezone.now()
    held = leases.claim(queue, ann, now)
    assert held is not None
    assert assigning.assign(queue, [bob], share=100) == {bob: 0}
    Slot.objects.update(leased_until=now - timedelta(minutes=1))
    assert assigning.assign(queue, [bob], share=100) == {bob: 1}
    with pytest.raises(leases.LostSlotError):
        saving.save(held, ann, GOOD)
    assert leases.claim(queue, ann) is None
    assert judged(queue, bob) == held.item_id


def test_an_answer_that_is_judged_in_another_place_of_it_keeps_nothing(make_queue: MakeQueue, person: Person) -> None:
    queue = make_queue(annotators_per_item=2)
    (item,) = invented(queue, 1)
    ann, bob = person("ann"), person("bob")
    held = leases.claim(queue, ann)
    assert held is not None
    # As if an editor had assigned the other place while she reached for this one.
    item.slots.exclude(pk=held.pk).update(assignee=ann)
    saving.save(held, ann, GOOD)
    assert not queue.slots.exclude(assignee=None).exists()
    assert judged(queue, bob) == item.pk


def test_what_was_assigned_in_the_moment_of_reaching_for_it_is_not_taken(
    make_queue: MakeQueue, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = make_queue()
    first, second = invented(queue, 2)
    ann, bob = person("ann"), person("bob")
    find = leases._first_free

    def find_late(*given: Any) -> Slot | None:
        slot = find(*given)
        if slot and slot.item == first:
            assigning.assign(queue, [bob], items=[first.pk])
        return slot

    monkeypatch.setattr(leases, "_first_free", find_late)
    held = leases.claim(queue, ann)
    assert held is not None
    assert held.item == second


def test_assigning_is_bounded_and_says_what_is_missing(make_queue: MakeQueue, person: Person) -> None:
    queue = make_queue()
    invented(queue, 1)
    ann = person("ann")
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"people": []}, "Say to whom"),
        ({"people": [ann], "items": []}, "Choose 1 to 1,000"),
        ({"people": [ann], "items": range(1_001)}, "Choose 1 to 1,000"),
        ({"people": [ann], "share": 0}, "1 to 100 percent"),
    )
    for given, said in cases:
        with pytest.raises(AssigningError, match=said):
            assigning.assign(queue, **given)
    with pytest.raises(AssigningError, match="Say whose"):
        assigning.unassign(queue)
    with pytest.raises(AssigningError, match="At most 50 people"):
        assigning.people_named(queue.project, [f"p{number}" for number in range(51)])
