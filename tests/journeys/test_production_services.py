"""The same code on PostgreSQL and Redis, by environment variables only."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.journeys.conftest import create_key, eventually, make_environment, start, stop
from tests.journeys.evaluation_walk import walk_through
from tests.journeys.test_from_sender_to_verdict import RIGHT, scores_of, send_answer

pytestmark = pytest.mark.services
REDIS = "redis://127.0.0.1:6379/9"


@pytest.fixture
def services(postgres_url: str) -> Iterator[dict[str, str]]:
    """A fresh PostgreSQL database and an empty Redis database; skipped where there are none, but never in CI."""
    try:
        broker = redis.Redis.from_url(REDIS, socket_connect_timeout=3)
        broker.ping()
    except redis.ConnectionError as error:
        if os.environ.get("REQUIRE_SERVICES"):
            raise
        pytest.skip(f"needs Redis at its standard port: {error}")
    with broker:
        broker.flushdb()
        yield {"DATABASE_URL": postgres_url, "CELERY_BROKER_URL": REDIS}
        broker.flushdb()


def test_evaluation_goes_its_whole_way_with_postgresql_and_redis(services: dict[str, str], tmp_path: Path) -> None:
    running = start(tmp_path, make_environment(tmp_path) | services)
    try:
        running.api_key = create_key(running)
        trace_id = send_answer(running, RIGHT)
        (score,) = eventually(lambda: scores_of(running, trace_id), 90)
        assert score["name"] == "groundedness"
        walk_through(running)
        assert not (tmp_path / "heliograph.sqlite3").exists()
        assert not (tmp_path / "queue").exists()
    finally:
        status = stop(running)
    assert status == 0, running.logs()
