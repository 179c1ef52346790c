"""The pages of training jobs."""

import pytest
from django.test import Client

from heliograph.accounts.models import Project
from tests.dashboards.conftest import IN_HOUR
from tests.query.rows import point, store_rows
from tests.query.test_training import run

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]


def test_a_job_is_listed_and_its_slow_rank_named(reader: Client, project: Project) -> None:
    base = f"/p/{project.slug}/gpus/training"
    assert "No training job reported" in reader.get(base).content.decode()
    run(project.pk, slow=1.5, job_id="run <7>")
    memory = {"host": "node-1", "gpu_uuid": "GPU-5", "unit": "By"}
    rows = [point("hw.gpu.memory.usage", seconds, 7e9, **memory) for seconds in range(0, 1200, 60)]
    store_rows(project.pk, "metric_points", rows)
    listed = reader.get(f"{base}?{IN_HOUR}").content.decode()
    assert "run &lt;7&gt;" in listed
    assert "run &lt;7&gt;" in reader.get(f"{base}?{IN_HOUR}&find=RUN+%3C").content.decode()
    assert "None of them has “other”" in reader.get(f"{base}?{IN_HOUR}&find=other").content.decode()
    text = reader.get(f"{base}?job=run+%3C7%3E&{IN_HOUR}").content.decode()
    assert "Rank 5 on node-1" in text
    assert "1.5</span> times the median" in text
    assert "How much memory did the GPUs use" in text
    assert reader.get(f"{base}?job=none&{IN_HOUR}").status_code == 404


def test_a_job_without_time_in_collectives_says_what_cannot_be_seen(reader: Client, project: Project) -> None:
    run(project.pk, slow=1.5, collectives=False)
    text = reader.get(f"/p/{project.slug}/gpus/training?job=run-7&{IN_HOUR}").content.decode()
    assert "No time in collectives is reported" in text
    assert "✕ straggler" not in text
