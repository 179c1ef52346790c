"""Annotators who reach at once and whose processes are killed: each slot is done once, each score written once."""

import json
import os
import subprocess
import sys
from pathlib import Path

ITEMS, KILLS = 24, 6


def test_annotators_who_race_and_are_killed_leave_each_slot_done_once_and_each_score_written_once(
    store: str, tmp_path: Path
) -> None:
    environment = os.environ | {"HELIOGRAPH_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "heliograph.settings"}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("DATABASE_URL", None)
    program = [sys.executable, str(Path(__file__).with_name("racers.py")), str(ITEMS), str(KILLS), "7"]
    ran = subprocess.run(program, env=environment, timeout=600, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3_000:]
    found = json.loads(ran.stdout)
    assert (found["done"], found["pairs"], found["scores"], found["ids"]) == (2 * ITEMS,) * 4
    assert found["of_latest"]
    # One who was killed between a first version and a second left the first.
    assert found["final"] >= 2 * ITEMS - KILLS
    assert found["events"] == 1
    assert found["still_unwritten"] == 0
