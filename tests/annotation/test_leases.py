"""Whose turn it is: no slot is two people's, none is lost."""

from datetime import timedelta

import pytest
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.annotation import leases, queues, saving
from heliograph.annotation.models import Annotation, Queue
from heliograph.events.models import Event
from heliograph.query.annotated import Candidate
from tests.annotation.conftest import MakeQueue, Person, invented

GOOD = {"correct": True, "helpfulness": 5}
pytestmark = pytest.mark.usefixtures("store")


def test_an_item_goes_to_as_many_people_as_are_wanted_and_to_each_once(make_queue: MakeQueue, person: Person) -> None:
    queue = make_queue(annotators_per_item=2)
    first, second = invented(queue, 2)
    ann, bob, eve = person("ann"), person("bob"), person("eve")
    got = {name: leases.claim(queue, who) for name, who in (("ann", ann), ("bob", bob), ("eve", eve))}
    assert {name: slot and slot.item for name, slot in got.items()} == {"ann": first, "bob": first, "eve": second}
    # Asked again, each has what they had.
    assert leases.claim(queue, ann) == got["ann"]
    assert got["ann"] is not None
    saving.save(got["ann"], ann, GOOD)
    following = leases.claim(queue, ann)
    assert following is not None
    assert following.item == second
    saving.save(following, ann, GOOD)
    assert leases.claim(queue, ann) is None


def test_what_somebody_left_lying_comes_back_and_the_late_answer_is_refused(
    make_queue: MakeQueue, person: Person
) -> None:
    queue = make_queue(lease_minutes=15)
    invented(queue, 1)
    ann, bob, now = person("ann"), person("bob"), timezone.now()
    slot = leases.claim(queue, ann, now)
    assert slot is not None
    assert leases.claim(queue, bob, now + timedelta(minutes=14)) is None
    later = now + timedelta(minutes=16)
    # Nobody took it meanwhile: it is still hers.
    assert leases.claim(queue, ann, later) == slot
    taken = leases.claim(queue, bob, later + timedelta(minutes=16))
    assert taken == slot
    with pytest.raises(leases.LostSlotError, match="somebody else has it"):
        saving.save(slot, ann, GOOD)
    with pytest.raises(leases.LostSlotError):
        leases.skip(slot, ann, "late")
    saving.save(taken, bob, GOOD)
    assert Annotation.objects.get().author == bob


def test_a_skipped_item_goes_to_others_and_does_not_come_back(make_queue: MakeQueue, person: Person) -> None:
    queue = make_queue()
    first, second = invented(queue, 2)
    ann, bob = person("ann"), person("bob")
    slot = leases.claim(queue, ann)
    assert slot is not None
    with pytest.raises(ValueError, match="Say why"):
        leases.skip(slot, ann, " ")
    leases.skip(slot, ann, "not my language")
    following = leases.claim(queue, ann)
    assert following is not None
    assert following.item == second
    leases.release(following, ann)
    taken = leases.claim(queue, bob)
    assert taken is not None
    assert taken.item == first
    assert queues.progress(queue).skips == 1
    Queue.objects.update(is_open=False)
    queue.refresh_from_db()
    with pytest.raises(leases.ClosedQueueError):
        leases.claim(queue, bob)


def test_a_finished_queue_tells_of_it_once_and_again_after_more_came(
    make_queue: MakeQueue, person: Person, project: Project
) -> None:
    queue = make_queue()
    invented(queue, 1)
    ann = person("ann")
    slot = leases.claim(queue, ann)
    assert slot is not None
    saving.save(slot, ann, GOOD)
    saving.save(slot, ann, GOOD | {"correct": False})
    event = Event.objects.get()
    assert event.project == project
    told = event.body
    assert (told["queue"], told["items"], told["annotations"], told["annotators"]) == (queue.pk, 1, 1, 1)
    items = invented(queue, 2)
    queue.refresh_from_db()
    assert queue.finished_at is None
    queues.remove(items[-1])
    assert Event.objects.count() == 1
    slot = leases.claim(queue, ann)
    assert slot is not None
    saving.save(slot, ann, GOOD)
    assert Event.objects.count() == 2
    queue.refresh_from_db()
    assert queue.finished_at is not None


def test_more_or_fewer_annotators_are_wanted_and_what_was_given_stays(make_queue: MakeQueue, person: Person) -> None:
    queue = make_queue(annotators_per_item=2)
    invented(queue, 3)
    ann = person("ann")
    slot = leases.claim(queue, ann)
    assert slot is not None
    saving.save(slot, ann, GOOD)
    for wanted, slots in ((4, 12), (1, 3), (2, 6)):
        queue.annotators_per_item = wanted
        queue.save()
        queues.change_places(queue)
        assert queue.slots.count() == slots
    assert Annotation.objects.count() == 1
    assert queues.check(queue) == {}
    queue.rubric = [{"name": "other", "kind": "boolean"}]
    assert "it stays" in queues.check(queue)["rubric"]


def test_a_queue_is_bounded_and_holds_a_span_once(make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = make_queue()
    items = invented(queue, 3)
    again = [Candidate(item.trace_id, item.span_id, item.start_ns, 0.1) for item in items]
    assert queues.add(queue, again) == queues.Added(0, 3)
    monkeypatch.setattr(queues, "MAX_ITEMS", 4)
    with pytest.raises(queues.QueueFullError, match="at most 4"):
        invented(queue, 2)
    assert queue.items.count() == 3
