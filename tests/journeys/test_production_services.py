"""The same code on PostgreSQL, RabbitMQ and Redis, by environment variables only, with several of its processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import Event

import httpx
import pytest
import redis

from tests.journeys.conftest import (
    ANSWER_SECONDS,
    Platform,
    create_key,
    eventually,
    free_ports,
    make_environment,
    start,
    stop,
)
from tests.journeys.evaluation_walk import CAPITALS, DONE_SECONDS, Walk, answer, walk_of, walk_through
from tests.journeys.test_from_sender_to_verdict import RIGHT, scores_of, send_answer
from tests.journeys.test_processes import process
from tests.net.servers import Handler, serving

pytestmark = [pytest.mark.services, pytest.mark.timeout(2_400)]
# Suites that run at once on one machine must not read each other's messages: Redis has sixteen databases, the first
# of which are people's.
REDIS = f"redis://127.0.0.1:6379/{9 + os.getpid() % 7}"
RABBITMQ = "127.0.0.1:5672"
# Long for Erlang's tool, which asks in a second on a quiet machine.
RABBITMQCTL_SECONDS = 120
# The beat that is left takes over after 30 s without a sign of the other; then a rule is judged, on a busy machine too.
TAKEN_OVER_SECONDS = 400


@pytest.fixture
def rabbitmq() -> Iterator[str]:
    """The name of an empty virtual host of RabbitMQ; skipped where there is none, but never in CI."""
    name = f"heliograph-{os.urandom(4).hex()}"
    try:
        rabbitmqctl("add_vhost", name)
    except (OSError, subprocess.SubprocessError) as error:
        if os.environ.get("REQUIRE_SERVICES"):
            raise
        pytest.skip(f"needs RabbitMQ at its standard port, and rabbitmqctl: {error}")
    rabbitmqctl("set_permissions", "--vhost", name, "guest", ".*", ".*", ".*")
    yield name
    rabbitmqctl("delete_vhost", name)


@pytest.fixture
def empty_redis() -> Iterator[str]:
    """An empty Redis database; skipped where there is none, but never in CI."""
    try:
        broker = redis.Redis.from_url(REDIS, socket_connect_timeout=3)
        broker.ping()
    except redis.ConnectionError as error:
        if os.environ.get("REQUIRE_SERVICES"):
            raise
        pytest.skip(f"needs Redis at its standard port: {error}")
    with broker:
        broker.flushdb()
        yield REDIS
        broker.flushdb()


def rabbitmqctl(*words: str) -> None:
    tool = shutil.which("rabbitmqctl") or "rabbitmqctl"
    command = [tool, "--quiet", *words]
    subprocess.run(command, check=True, timeout=RABBITMQCTL_SECONDS, stdout=subprocess.DEVNULL)


@contextmanager
def beside(platform: Platform, name: str, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one more process of an installation, as another machine of it would."""
    # Where the platform's own processes write, so that its logs are shown with theirs.
    with (platform.folder / f"logs/{name}.log").open("ab") as log:
        line = [sys.executable, "-m", *command]
        started = subprocess.Popen(line, env=platform.environment | environment, stdout=log, stderr=log)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(180)


def second_of_each(platform: Platform, web_port: int) -> Iterator[AbstractContextManager[subprocess.Popen[bytes]]]:
    """Yield a second web process, worker, evaluator and beat, each to be entered."""
    celery = ("celery", "-A", "heliograph")
    worker = (*celery, "worker", "--pool", "solo", "--without-mingle", "--without-gossip", "--hostname")
    yield beside(platform, "web-2", "heliograph.asgi", HELIOGRAPH_PORT=str(web_port))
    yield beside(platform, "worker-2", *worker, "worker-2@%h", "--queues", "default")
    yield beside(platform, "evaluator-2", *worker, "evaluator-2@%h", "--queues", "evaluations")
    yield beside(platform, "beat-2", *celery, "beat", "--pidfile", "")


def elections(platform: Platform) -> dict[str, int]:
    """Return how often each beat says that it was elected."""
    logs = {name: platform.folder / f"logs/{name}.log" for name in ("beat", "beat-2")}
    return {name: path.read_text(errors="replace").count("this beat is elected") for name, path in logs.items()}


def judged(platform: Platform) -> str:
    """Send an answer; return its trace once beat, broker and evaluator have it judged."""
    trace_id = send_answer(platform, RIGHT)
    (score,) = eventually(lambda: scores_of(platform, trace_id), TAKEN_OVER_SECONDS)
    assert score["name"] == "groundedness"
    return trace_id


def both_webs_show(platform: Platform, port: int, trace_id: str, person: httpx.Client) -> None:
    """A session and its data are no web process's own."""
    for base in (platform.base, f"http://127.0.0.1:{port}"):
        shown = eventually(lambda at=base: page_of(f"{at}/p/default/traces/{trace_id}", person))
        assert RIGHT in shown


def page_of(address: str, person: httpx.Client) -> str:
    try:
        found = httpx.get(address, cookies=person.cookies, timeout=ANSWER_SECONDS)
    except httpx.TransportError:  # it has not started yet
        return ""
    return found.text if found.status_code == 200 else ""


def a_killed_evaluators_experiment_is_gone_on_with(walk: Walk, evaluators: list[int]) -> None:
    """Whoever asks the model when it does not answer is killed: each row has one result all the same."""
    asked: list[str] = []
    askers: list[int] = []
    held, ended = Event(), Event()

    def slow(handler: Handler) -> None:
        question = json.loads(handler.server.requests[-1][2])["messages"][-1]["content"]
        asked.append(question)
        if question.endswith("Peru") and not held.is_set():
            askers.append(handler.client_address[1])
            held.set()
            ended.wait(DONE_SECONDS)
        else:
            answer(handler)

    name = f"killed {walk.service}"
    rows = "\n".join(json.dumps({"id": key, "input": key, "expected": city}) for key, city in CAPITALS.items())
    made = walk.send("POST", "datasets", json={"name": name})["id"]
    assert walk.key.post(f"datasets/{made}/import", params={"kind": "jsonl"}, content=rows).status_code < 300
    with serving(slow) as model_server:
        walk.send("POST", "endpoints", json={"name": name, "base_url": f"{model_server.url}/v1"})
        target = {"endpoint": name, "model": "large", "template": "Capital of {{input}}"}
        plan = {"dataset": name, "name": name, "kind": "endpoint", "target": target, "evaluators": ["exact_match"]}
        started = walk.key.post("experiments", json=plan)
        assert started.status_code == 201, started.text
        try:
            assert held.wait(DONE_SECONDS)
            os.kill(process_behind(askers[0], evaluators), signal.SIGKILL)
            done = walk.ended(f"experiments/{started.json()['id']}")
        finally:
            ended.set()
    assert done["summary"]["exact_match"]["mean"] == 1.0
    results = walk.get(f"experiments/{started.json()['id']}/results")["items"]
    assert len(results) == len(CAPITALS)
    # What was under way in the killed process is asked once more, and nothing a third time.
    assert asked.count("Capital of Peru") == 2
    assert {asked.count(f"Capital of {name}") for name in CAPITALS} <= {1, 2}


def process_behind(port: int, processes: list[int]) -> int:
    """Return which of some processes has a connection from a port of this machine."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:])
    sockets = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(f":{port:04X}")}
    [found] = [pid for pid in processes if sockets & {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}]
    return found


def test_several_of_each_process_share_postgresql_and_rabbitmq_and_go_on_with_redis(
    postgres_url: str, rabbitmq: str, empty_redis: str, tmp_path: Path
) -> None:
    services = {"DATABASE_URL": postgres_url, "CELERY_BROKER_URL": f"amqp://guest:guest@{RABBITMQ}/{rabbitmq}"}
    environment = make_environment(tmp_path)
    running = start(tmp_path, environment | services)
    try:
        running.api_key = create_key(running)
        (port,) = free_ports(1)
        with ExitStack() as stack, walk_of(running) as walk:
            _, _, evaluator, beat = [stack.enter_context(each) for each in second_of_each(running, port)]
            eventually(lambda: sum(elections(running).values()))
            both_webs_show(running, port, judged(running), walk.person)
            [elected] = [name for name, count in elections(running).items() if count]
            os.kill(beat.pid if elected == "beat-2" else process(running, "beat")["pid"], signal.SIGKILL)
            evaluators = [evaluator.pid, process(running, "evaluator")["pid"]]
            a_killed_evaluators_experiment_is_gone_on_with(walk, evaluators)
            eventually(lambda: sum(elections(running).values()) >= 2, TAKEN_OVER_SECONDS)
            # As when the broker is started anew.
            rabbitmqctl("close_all_connections", "--vhost", rabbitmq, "restarted")
            judged(running)
            walk_through(running)
        assert not (tmp_path / "heliograph.sqlite3").exists()
        assert not (tmp_path / "queue").exists()
    finally:
        status = stop(running)
    assert status == 0, running.logs()
    # Another broker: what is to be done stands in the database, and nothing is lost with the former one.
    again = start(tmp_path, environment | services | {"CELERY_BROKER_URL": empty_redis})
    again.api_key = running.api_key
    try:
        judged(again)
    finally:
        status = stop(again)
    assert status == 0, again.logs()
