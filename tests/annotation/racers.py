"""Four annotators at once, each a process that may be killed at any moment; `test_races.py` runs it.

    python racers.py ITEMS KILLS SEED

They are forked from this one, which has imported what takes long to import and has connected to nothing.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import django

PEOPLE = 4
LEASE = timedelta(seconds=2)


def prepare(items: int) -> None:
    from django.core.management import call_command

    from heliograph.accounts.models import Organization, Project, User
    from heliograph.annotation import queues, rubric
    from heliograph.annotation.models import Queue
    from heliograph.query.annotated import Candidate

    call_command("migrate", verbosity=0)
    project_id = random.SystemRandom().randrange(2**30, 2**31)
    organization = Organization.objects.create(name="Acme")
    project = Project.objects.create(id=project_id, organization=organization, name="Shop", slug="shop")
    for number in range(PEOPLE):
        User.objects.create(username=f"p{number}")
    asked = rubric.as_json(rubric.read_text("stars: 1 to 5"))
    queue = Queue.objects.create(project=project, name="q", rubric=asked, annotators_per_item=2)
    start_ns = time.time_ns() - 3_600 * 10**9
    queues.add(queue, [Candidate(f"{n:032x}", f"{n:016x}", start_ns + n, None) for n in range(1, items + 1)])


def annotate(number: int) -> None:
    """Judge what comes, every third one twice, until nothing is left."""
    from heliograph.accounts.models import User
    from heliograph.annotation import leases, saving
    from heliograph.annotation.models import Queue, Slot

    person, queue = User.objects.get(username=f"p{number}"), Queue.objects.get()
    while Slot.objects.exclude(status=Slot.Status.DONE).exists():
        slot = leases.claim(queue, person)
        if slot is None:
            time.sleep(0.02)
            continue
        stars = slot.item_id % 5 + 1
        try:
            if slot.pk % 3 == 0:
                saving.save(slot, person, {"stars": 6 - stars})
            saving.save(slot, person, {"stars": stars})
        except leases.LostSlotError:
            continue


def finish() -> None:
    """Write what the killed left unwritten, and say how everything stands."""
    from heliograph.annotation import writing
    from heliograph.annotation.models import Annotation, Queue, Slot
    from heliograph.clickhouse import client
    from heliograph.events.models import Event

    unwritten = writing.write_waiting()
    project_id = Queue.objects.get().project_id
    slots = list(Slot.objects.select_related("item"))
    rows = client.query(
        project_id,
        "SELECT score_id, trace_id, value FROM scores FINAL WHERE project_id = %(project_id)s AND name = 'stars'",
        {},
        tag="tests.scores",
    )
    stars = {slot.item.trace_id: slot.item_id % 5 + 1 for slot in slots}
    latest = {
        each.slot_id: each.values["stars"] for each in Annotation.objects.order_by("version").select_related("slot")
    }
    said = {
        "done": sum(slot.status == Slot.Status.DONE for slot in slots),
        "pairs": len({(slot.item_id, slot.annotator_id) for slot in slots}),
        "scores": len(rows),
        "ids": len({row["score_id"] for row in rows}),
        "of_latest": {writing.score_id(slot, "stars"): latest[slot.pk] for slot in slots}
        == {row["score_id"]: row["value"] for row in rows},
        "final": sum(row["value"] == stars[row["trace_id"]] for row in rows),
        "events": Event.objects.count(),
        "unwritten": unwritten,
        "still_unwritten": sum(slot.version > slot.written_version for slot in Slot.objects.all()),
    }
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def waited(pid: int) -> None:
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise SystemExit("a process failed; its words are above")


def main(items: int, kills: int, seed: int) -> None:
    django.setup()
    from heliograph.annotation.models import Queue

    Queue.lease = LEASE  # type: ignore[assignment,method-assign]  # minutes are more than a test can wait for
    waited(fork(lambda: prepare(items)))
    chance = random.Random(seed)
    workers = {number: fork(lambda number=number: annotate(number)) for number in range(PEOPLE)}  # type: ignore[misc]  # mypy does not infer its default
    killed = 0
    while killed < kills:
        time.sleep(chance.uniform(0.02, 0.25))
        number = chance.randrange(PEOPLE)
        os.kill(workers[number], signal.SIGKILL)
        _, status = os.waitpid(workers[number], 0)
        if not os.WIFSIGNALED(status):
            raise SystemExit(f"everything was done after {killed} kills")
        killed += 1
        workers[number] = fork(lambda number=number: annotate(number))  # type: ignore[misc]  # mypy does not infer its default
    for pid in workers.values():
        waited(pid)
    waited(fork(finish))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:4]))
