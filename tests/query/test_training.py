"""Training jobs: their measures over the ranks, and the slow rank, found where there is one and only there."""

import json
import random
from typing import Any

import pytest
from django.test import Client

from heliograph.accounts.models import ApiKey, Project
from heliograph.query.training import RankWork, job, jobs, stragglers
from tests.query.rows import HOUR, point, store_rows

pytestmark = pytest.mark.usefixtures("store")


def ranks(count: int, slow: float = 1.0, noise: float = 0.03, seed: int = 1) -> list[RankWork]:
    """Ranks whose work takes 0.8 s with noise, shared and of their own; rank 3 takes `slow` times as long."""
    chance = random.Random(seed)
    shared = [chance.gauss(1, 0.2) for _ in range(60)]
    return [
        RankWork(
            str(number),
            f"node-{number // 8}",
            f"GPU-{number}",
            {
                at: 0.8 * max(0.3, shared[at]) * chance.gauss(1, noise) * (slow if number == 3 else 1)
                for at in range(60)
            },
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("slow", [1.15, 1.3, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_slow_rank_is_found_and_no_other(slow: float, seed: int) -> None:
    found = [each.rank for each in stragglers(ranks(16, slow, seed=seed)) if each.is_straggler]
    assert found == ["3"]


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1])
@pytest.mark.parametrize("seed", range(5))
def test_ranks_that_only_vary_are_no_stragglers(noise: float, seed: int) -> None:
    assert not any(each.is_straggler for each in stragglers(ranks(16, noise=noise, seed=seed)))


def test_a_rank_that_is_a_little_slower_slows_nobody_much() -> None:
    assert not any(each.is_straggler for each in stragglers(ranks(16, slow=1.06)))


def test_too_few_ranks_or_buckets_are_not_judged() -> None:
    assert all("at least 4" in each.reason for each in stragglers(ranks(3)))
    short = [RankWork(each.rank, each.host, each.gpu, dict(list(each.work.items())[:5])) for each in ranks(8, 2.0)]
    assert all("5 stretches" in each.reason and not each.is_straggler for each in stragglers(short))
    assert stragglers([]) == []


def run(project_id: int, *, slow: float = 1.0, collectives: bool = True, job_id: str = "run-7") -> None:
    """Eight ranks on two hosts, 40 steps of a second: what a rank does not work it waits for the others."""
    rows: list[dict[str, Any]] = []
    for rank in range(8):
        own = 0.6 * (slow if rank == 5 else 1)
        step = 0.6 * slow + 0.2
        for number in range(40):
            common = {
                "series": rank,
                "service": "trainer",
                "host": f"node-{rank // 4}",
                "gpu_uuid": f"GPU-{rank}",
                "resource": {"training.job.id": job_id, "training.rank": str(rank)},
            }
            values = {"step_time": step, "loss": 3.0 - number / 40, "tokens_per_second_per_gpu": 1_000.0}
            values |= {"training.collective.duration": step - own} if collectives else {}
            rows += [point(key, number * 30, value, **common) for key, value in values.items()]
    store_rows(project_id, "metric_points", rows)


def test_the_rank_that_never_waits_is_the_slow_one(project_id: int) -> None:
    run(project_id, slow=1.5)
    [listed] = jobs(project_id, HOUR)
    assert (listed.job, listed.ranks, listed.hosts) == ("run-7", 8, ("node-0", "node-1"))
    assert listed.loss == pytest.approx(3.0 - 39 / 40)
    found = job(project_id, HOUR, "run-7", buckets=30)
    assert found is not None
    [slow] = [each for each in found.ranks if each.is_straggler]
    assert (slow.rank, slow.host, slow.gpu) == ("5", "node-1", "GPU-5")
    assert slow.slowness == pytest.approx(1.5)
    by_name = {each.metric: each for each in found.series}
    assert by_name["tokens_per_s"].points[0].total == pytest.approx(8_000)
    assert by_name["step_time"].points[0].median == pytest.approx(1.1)
    assert found.collective_share == pytest.approx((0.2 + 7 * 0.5) / (8 * 1.1))


def test_equal_ranks_have_no_slow_one_and_other_gauges_are_no_jobs(project_id: int) -> None:
    run(project_id)
    store_rows(project_id, "metric_points", [point("loss", 1, 2.0, service="shop", resource={})])
    [listed] = jobs(project_id, HOUR)
    found = job(project_id, HOUR, listed.job)
    assert found is not None
    assert not any(each.is_straggler for each in found.ranks)
    assert job(project_id, HOUR, "no-such-job") is None


def test_without_collectives_the_whole_step_is_the_work_and_is_said_to_be(project_id: int) -> None:
    run(project_id, slow=1.5, collectives=False)
    found = job(project_id, HOUR, "run-7")
    assert found is not None
    assert found.is_without_collectives
    # Synchronous ranks step together, so their step times say nothing.
    assert not any(each.is_straggler for each in found.ranks)
    assert found.collective_share is None


@pytest.mark.django_db
def test_the_api_and_the_page_show_the_job(project: Project) -> None:
    run(project.pk, slow=1.5)
    client = Client(headers={"x-api-key": ApiKey.issue(project, "test")[1]})
    hour = {"start": HOUR.start.isoformat(), "end": HOUR.end.isoformat()}
    listed = json.loads(client.get("/api/v1/training/jobs", hour).content)["items"]
    assert [each["job"] for each in listed] == ["run-7"]
    found = json.loads(client.get("/api/v1/training/job", {**hour, "job": "run-7"}).content)
    assert [each["rank"] for each in found["ranks"] if each["is_straggler"]] == ["5"]
    assert client.get("/api/v1/training/job", {**hour, "job": "none"}).status_code == 404
