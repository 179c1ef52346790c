"""A worker that is killed at any moment loses no span and scores none twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

from heliograph.clickhouse import client

SPANS, KILLS = 5_000, 20
PROGRAM = Path(__file__).with_name("killed_workers.py")
ROOT = Path(__file__).parents[2]


def test_killing_the_worker_at_20_random_moments_leaves_each_of_5000_spans_scored_exactly_once(
    store: str, project_id: int, data_folder: Path
) -> None:
    environment = os.environ | {
        "HELIOGRAPH_DATA_DIR": str(data_folder),
        "DJANGO_SETTINGS_MODULE": "heliograph.settings",
        "PROJECT_ID": str(project_id),
        "PYTHONPATH": f"{ROOT}/platform:{ROOT}",
        "HELIOGRAPH_LOG_LEVEL": "ERROR",
    }
    environment.pop("DATABASE_URL", None)
    command = [sys.executable, str(PROGRAM), str(SPANS), str(KILLS), "1"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    assert (said["gaps"], said["aside"]) == (0, 0)
    sql = """
        SELECT count() AS scores, uniqExact(trace_id, span_id) AS spans, countIf(value = 1) AS valid
        FROM scores FINAL WHERE project_id = %(project_id)s AND name = 'valid'
    """
    (found,) = client.query(project_id, sql, tag="test")
    assert (found["scores"], found["spans"]) == (SPANS, SPANS)
    assert found["valid"] == sum(1 for number in range(SPANS) if number % 3)
