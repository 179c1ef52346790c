"""The same code on PostgreSQL and Redis, by environment variables only."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from tests.journeys.conftest import create_key, eventually, make_environment, start, stop
from tests.journeys.test_from_sender_to_verdict import RIGHT, scores_of, send_answer

pytestmark = pytest.mark.services
POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"
REDIS = "redis://127.0.0.1:6379/9"


@pytest.fixture
def services() -> Iterator[dict[str, str]]:
    """A fresh PostgreSQL database and an empty Redis database; skipped where there are none, but never in CI."""
    name = f"heliograph_test_{secrets.token_hex(4)}"
    try:
        connection = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=3)
        broker = redis.Redis.from_url(REDIS, socket_connect_timeout=3)
        broker.ping()
    except (psycopg.OperationalError, redis.ConnectionError) as error:
        if os.environ.get("REQUIRE_SERVICES"):
            raise
        pytest.skip(f"needs PostgreSQL and Redis at their standard ports: {error}")
    with connection, broker:
        connection.execute(f'CREATE DATABASE "{name}"')
        broker.flushdb()
        yield {"DATABASE_URL": POSTGRES.removesuffix("postgres") + name, "CELERY_BROKER_URL": REDIS}
        broker.flushdb()
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_an_answer_is_judged_with_postgresql_and_redis(services: dict[str, str], tmp_path: Path) -> None:
    running = start(tmp_path, make_environment(tmp_path) | services)
    try:
        running.api_key = create_key(running)
        trace_id = send_answer(running, RIGHT)
        (score,) = eventually(lambda: scores_of(running, trace_id), 90)
        assert score["name"] == "groundedness"
        assert not (tmp_path / "heliograph.sqlite3").exists()
        assert not (tmp_path / "queue").exists()
    finally:
        status = stop(running)
    assert status == 0, running.logs()
