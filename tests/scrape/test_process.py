"""The scraper as a process: targets of a file, points through the pipeline, counted, and again after a kill."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.stack import ROOT, SETUP, Stack, eventually
from tests.scrape.pages import Server, serving

STATE = """
import json, django
django.setup()
from heliograph.scrape.models import ScrapeTarget
rows = ScrapeTarget.objects.order_by("name").values_list("name", "last_error", "last_samples")
print(json.dumps(list(rows)))
"""


@pytest.fixture
def pages() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def stack(tmp_path: Path, pages: Server) -> Iterator[Stack]:
    watched = tmp_path / "targets.yaml"
    labels = {"serving.engine.name": "vllm", "host.name": "gpu-1"}
    groups = [
        {"name": "llm", "targets": [pages.url()], "interval": 5, "timeout": 5, "labels": labels},
        {"name": "stuck", "targets": [pages.url("/slow")], "interval": 60, "timeout": 60},
    ]
    watched.write_text(json.dumps(groups))
    stack = Stack(tmp_path / "data", settings={"HELIOGRAPH_SCRAPE_FILE": str(watched)})
    try:
        stack.start_store()
        subprocess.run([sys.executable, "-c", SETUP], check=True, env=stack.environment, capture_output=True, cwd=ROOT)
        yield stack
    finally:
        stack.stop()


def points(stack: Stack) -> int:
    [[count]] = stack.query("SELECT count() FROM metric_points WHERE metric = 'vllm:generation_tokens_total'")
    return int(count)


def test_it_scrapes_what_a_file_names_and_goes_on_after_a_kill(stack: Stack, pages: Server) -> None:
    first = stack.run("scraper", ["-m", "heliograph.scrape"])
    eventually(lambda: points(stack) >= 1, 90)
    first.stop(signal.SIGKILL)
    before = points(stack)
    second = stack.run("scraper", ["-m", "heliograph.scrape"])
    eventually(lambda: points(stack) > before, 90)
    [resource] = {
        (row[0], row[1], row[2])
        for row in stack.query(
            "SELECT service, host, resource['serving.engine.name'] FROM metric_points WHERE metric = 'up'"
        )
    }
    assert resource == ("llm", "gpu-1", "vllm")
    assert second.stop() == 0
    # The ledger of the project has them under the key for scraping; the target that answers nothing has no points.
    [[accepted, keys]] = stack.query("SELECT sum(n), uniqExact(key_id) FROM ingest_ledger WHERE what = 'accepted'")
    assert accepted >= 5  # a kill loses what was not yet counted, never what is stored
    assert keys == 1
    answer = subprocess.run(
        [sys.executable, "-c", STATE], check=True, env=stack.environment, capture_output=True, text=True, cwd=ROOT
    )
    assert json.loads(answer.stdout)[0] == ["llm", "", 2]
