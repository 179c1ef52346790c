"""A hold and an erasure at the same moment, each by a connection of its own: one of them sees the other."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import django; django.setup()
from threading import Thread
from heliograph.accounts.models import Organization, Project
from heliograph.erasure import asking as erasing
from heliograph.erasure import turns
from heliograph.erasure.models import Erasure
from heliograph.holds import asking
from heliograph.holds.models import Hold
asking.wake_worker = erasing.wake_worker = lambda: None
project = Project.objects.create(id=%d, organization=Organization.objects.create(name="Acme"), name="Shop", slug="shop")
erasure = erasing.ask(project, "alice", None)
assert erasure.claim()
erasure.keep(plan={"traces": ["a" * 32]})
seen = []

def place():
    asking.place(project, "traces", "a" * 32, "Case 12", "olive")
    seen.append("is_begun" in Erasure.objects.get().plan)

placing, held_of = Thread(target=place), turns.held_of

def asked(*given):
    answer = held_of(*given)
    placing.start()
    # Whoever is not kept from it has placed the hold by then.
    placing.join(2)
    return answer

turns.held_of = asked
may_begin = turns._may_begin(erasure)
placing.join()
assert Hold.objects.count() == 1
print(may_begin, *seen)
"""


def test_a_hold_is_placed_before_an_erasure_asks_or_after_it_has_noted_that_it_begins(
    store: str, project_id: int, data_folder: Path
) -> None:
    environment = os.environ | {"HELIOGRAPH_DATA_DIR": str(data_folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {"DJANGO_SETTINGS_MODULE": "heliograph.settings"}
    command = [sys.executable, "-c", PROGRAM % project_id]
    ran = subprocess.run(command, env=environment, timeout=280, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3_000:]
    assert ran.stdout.split() == ["True", "True"]
