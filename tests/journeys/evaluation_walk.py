"""Evaluation from one end to the other, over the public API of a running platform: rule, schedule, data set,
experiment, gate, drift monitor, annotation and judge. Which database and broker it runs on is its caller's to say.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.journeys.conftest import ANSWER_SECONDS, PASSWORD, Platform, eventually
from tests.journeys.test_from_sender_to_verdict import text, whole
from tests.net.servers import Handler, serving

# A worker does one thing at a time, and a busy machine takes its time.
DONE_SECONDS = 360
CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Peru": "Lima", "Japan": "Tokyo", "Cuba": "Havana"}
DELIVERY = ("When does my parcel arrive?", "Is delivery free of charge?", "Which carrier brings the box?")
BATTERY = ("How long does the battery last in the cold of winter?", "Can I replace the battery by myself at home?")
# Requests of each release today, and of the day before yesterday.
EACH = 60
# Answers that two people judge, worst first: all that are broken and some more, of which a calibration needs ten.
JUDGED = EACH // 3 + 12
SECOND = (
    "import sys, django\ndjango.setup()\n"
    "from heliograph.accounts.models import Membership, Organization, User\n"
    "user = User.objects.create_user(sys.argv[1], password=sys.argv[2])\n"
    "Membership.objects.create(organization=Organization.objects.get(), user=user, role='editor')\n"
)
VERDICT = json.dumps({"reason": "It says what was asked.", "score": 4})


@dataclass
class Walk:
    """One walk: the platform, a signed-in person, a key, and a model server that answers and judges."""

    person: httpx.Client
    key: httpx.Client
    platform: Platform
    model_server: str
    service: str = field(default_factory=lambda: f"walk-{os.urandom(3).hex()}")

    def send(self, method: str, path: str, **options: Any) -> Any:
        """Ask as a person; return what is answered."""
        return sent(self.person, method, path, **options)

    def get(self, path: str, **parameters: Any) -> Any:
        """Ask as a program with a key."""
        found = self.key.get(path, params=parameters)
        assert found.status_code == 200, f"{path}: {found.text}"
        return found.json()

    def ended(self, path: str) -> dict[str, Any]:
        """Return what is at a path, once it has ended well."""
        ends = ("done", "failed")
        row = eventually(lambda: (found := self.get(path))["status"] in ends and found, DONE_SECONDS)
        assert row["status"] == "done", row
        return dict(row)

    def scores(self, name: str) -> list[dict[str, Any]]:
        """Return all verdicts of a name on this walk's spans."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        start = (datetime.now(UTC) - timedelta(days=3)).isoformat()
        while True:
            page = self.get("scores", name=name, service=self.service, start=start, limit=200, **cursor)
            found += page["items"]
            if not page["next_cursor"]:
                return found
            cursor = {"cursor": page["next_cursor"]}


@contextmanager
def walk_of(platform: Platform) -> Iterator[Walk]:
    """Sign in, and start the model server."""
    with signed_in(platform, "admin") as person, _key(platform) as key, serving(answer) as server:
        yield Walk(person, key, platform, f"{server.url}/v1")


@contextmanager
def signed_in(platform: Platform, name: str) -> Iterator[httpx.Client]:
    """Sign somebody in."""
    with httpx.Client(base_url=platform.base, timeout=ANSWER_SECONDS) as person:
        person.get("/login")
        form = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": person.cookies["csrftoken"]}
        assert person.post("/login", data=form).status_code == 302
        person.headers["x-csrftoken"] = person.cookies["csrftoken"]
        yield person


def another_person(platform: Platform, name: str) -> None:
    """Add an editor who signs in by the password of all."""
    environment = platform.environment | {
        "DJANGO_SETTINGS_MODULE": "heliograph.settings",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run([sys.executable, "-c", SECOND, name, PASSWORD], env=environment, check=True, timeout=360)


def sent(person: httpx.Client, method: str, path: str, **options: Any) -> Any:
    """Return what a person who is signed in is answered."""
    found = person.request(method, f"/api/v1/{path}", params={"project": "default"}, **options)
    assert found.status_code < 300, f"{path}: {found.text}"
    return found.json() if found.content else None


def _key(platform: Platform) -> httpx.Client:
    headers = {"x-api-key": platform.api_key}
    return httpx.Client(base_url=f"{platform.base}/api/v1/", headers=headers, timeout=ANSWER_SECONDS)


def answer(handler: Handler) -> None:
    """The model server: `judge` judges, and talks nonsense of Cuba; `large` knows every capital, `small` only one."""
    asked = json.loads(handler.server.requests[-1][2])
    said = asked["messages"][1 if asked["model"] == "judge" else -1]["content"]
    if asked["model"] == "judge":
        content = "It is a fine answer." if "Havana" in said else VERDICT
    else:
        content = CAPITALS[said.removeprefix("Capital of ")] if asked["model"] == "large" else "Paris"
    body = {
        "id": "c",
        "model": asked["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10},
    }
    handler.say(200, json.dumps(body).encode())


def send_requests(walk: Walk, release: str, hours_ago: float, topics: tuple[str, ...], broken: int = 0) -> None:
    """Send EACH model calls over OTLP; every third of them is no JSON, where `broken` is 3."""
    chance, spans = random.Random(f"{release} {hours_ago}"), []
    for number in range(EACH):
        end = time.time_ns() - int(hours_ago * 3_600 * 10**9) - number * 10**6
        took = int(chance.lognormvariate(0.0, 0.2) * (2 if broken else 1) * 10**9)
        said = "It is on its way." if broken and number % broken == 0 else json.dumps({"answer": number})
        asked = [{"role": "user", "content": f"{topics[number % len(topics)]} ({number})"}]
        attributes = [
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.request.model", "gpt-4o-mini"),
            text("gen_ai.input.messages", json.dumps(asked)),
            text("gen_ai.output.messages", json.dumps([{"role": "assistant", "content": said}])),
            whole("gen_ai.usage.input_tokens", 100),
            whole("gen_ai.usage.output_tokens", 20),
        ]
        spans.append({
            "traceId": os.urandom(16).hex(), "spanId": os.urandom(8).hex(), "name": "chat gpt-4o-mini",
            "startTimeUnixNano": str(end - took), "endTimeUnixNano": str(end), "attributes": attributes,
        })  # fmt: skip
    resource = {"attributes": [text("service.name", walk.service), text("service.version", release)]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
    headers = {"content-type": "application/json"}
    answered = httpx.post(
        f"{walk.platform.otlp}/v1/traces", content=json.dumps(body), headers=headers, timeout=ANSWER_SECONDS
    )
    assert answered.status_code == 200, answered.text


def schedule(walk: Walk) -> int:
    """A job each minute that judges a period with a rule; beat has it done while the walk goes on."""
    body = {"name": f"nightly {walk.service}", "kind": "evaluate", "every_seconds": 60}
    return int(walk.send("POST", "schedules", json=body | {"arguments": {"rule": walk.service}})["id"])


def rule_judges_each_span_once(walk: Walk) -> None:
    """1: what is sent is judged by a rule, also what began long before it was sent."""
    body = {"name": walk.service, "evaluator": "json_schema", "filter": f"service:{walk.service} kind:llm"}
    rule = walk.send("POST", "evaluation-rules", json=body)["id"]
    send_requests(walk, "1", 40, DELIVERY)
    send_requests(walk, "1", 0.1, DELIVERY)
    send_requests(walk, "2", 0.1, BATTERY, broken=3)

    def standing() -> Any:
        return walk.get(f"evaluation-rules/{rule}")["standing"]

    # The marks move on after the verdicts are stored.
    ends = (3 * EACH, 0)
    stood = eventually(lambda: ((found := standing())["scored"], found["backlog"]) == ends and found, DONE_SECONDS)
    assert (stood["error"], stood["set_aside"]) == ("", 0), stood
    verdicts = walk.scores(walk.service)
    assert len(verdicts) == len({(each["trace_id"], each["span_id"]) for each in verdicts}) == 3 * EACH
    assert sum(each["value"] == 0 for each in verdicts) == EACH // 3


def judge_judges(walk: Walk) -> str:
    """8: a language model behind an endpoint judges a sample of what was sent, and its cost is counted."""
    name = f"judge of {walk.service}"
    body = {"name": name, "base_url": walk.model_server, "model": "judge", "api_key": "sk-1"}
    prices = {"input_usd_per_million": "2", "output_usd_per_million": "10"}
    endpoint = walk.send("POST", "judge-endpoints", json=body | prices)["id"]
    rule = {"name": f"helpful {walk.service}", "evaluator": "llm_judge", "endpoint": endpoint, "usd_a_day": "1"}
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    chosen = {"filter": f"service:{walk.service} release:2", "arguments": {"template": "helpfulness"}, "since": since}
    made = walk.send("POST", "evaluation-rules", json=rule | chosen)["id"]
    stood = eventually(
        lambda: (found := walk.get(f"evaluation-rules/{made}")["standing"])["scored"] == EACH and found, DONE_SECONDS
    )
    assert float(stood["usd"]) == pytest.approx(EACH * 0.0003)
    assert {each["value"] for each in walk.scores(rule["name"])} == {0.75}
    return name


def data_set(walk: Walk) -> str:
    """3: rows from a file and from traces; the version before stays what it was."""
    made = walk.send("POST", "datasets", json={"name": f"capitals {walk.service}"})["id"]
    rows = [{"id": name, "input": name, "expected": capital} for name, capital in CAPITALS.items()]
    lines = "\n".join(json.dumps(row) for row in rows)
    stored = walk.key.post(f"datasets/{made}/import", params={"kind": "jsonl", "splits": "test=1"}, content=lines)
    assert stored.json()["version"]["splits"] == {"test": len(CAPITALS)}, stored.text
    copied = walk.send(
        "POST", f"datasets/{made}/from-traces", json={"filter": f"service:{walk.service} release:1", "limit": 5}
    )
    assert (copied["rows"], copied["version"]["number"]) == (5, 2)
    assert len(walk.get(f"datasets/{made}/rows", version=1)["items"]) == len(CAPITALS)
    return f"capitals {walk.service}"


def experiments(walk: Walk, dataset: str, judge: str) -> list[int]:
    """4: two models answer the rows; evaluators and the language model judge them; they are compared row by row."""
    endpoint = {"name": f"local {walk.service}", "base_url": walk.model_server}
    walk.send("POST", "endpoints", json=endpoint)
    helpful = {"name": "helpful", "evaluator": "llm_judge", "endpoint": judge}
    runs = []
    for model in ("large", "small"):
        target = {"endpoint": endpoint["name"], "model": model, "template": "Capital of {{input}}"}
        plan = {"dataset": dataset, "split": "test", "name": model, "kind": "endpoint", "target": target}
        started = walk.key.post("experiments", json=plan | {"evaluators": ["exact_match", helpful]})
        assert started.status_code == 201, started.text
        runs.append(int(started.json()["id"]))
    done = [walk.ended(f"experiments/{run}")["summary"] for run in runs]
    assert [each["exact_match"]["mean"] for each in done] == [1.0, pytest.approx(1 / len(CAPITALS))]
    # Of the answer Havana the judge talks nonsense, which is no number.
    assert (done[0]["helpful"]["mean"], done[0]["helpful"]["unscored"]) == (0.75, 1)
    compared = walk.get("experiments/compare", run=runs, score="exact_match")
    assert sum(row["is_flip"] for row in compared["items"]) == len(CAPITALS) - 1
    return runs


def gates(walk: Walk, runs: list[int]) -> None:
    """5: the worse model and the worse release are found, with an exit code for a pipeline."""
    metrics = [{"name": "score.exact_match"}, {"name": "errors"}]
    of_rows: dict[str, Any] = {"name": f"rows {walk.service}", "source": "dataset", "metrics": metrics}
    of_rows |= {"baseline_run": runs[0], "candidate_run": runs[1]}
    live = {"name": f"live {walk.service}", "source": "live", "scope": f"service:{walk.service}", "hours": 2}
    live |= {"baseline": "release:1", "candidate": "release:2"}
    live |= {"metrics": [{"name": f"score.{walk.service}"}, {"name": "latency"}, {"name": "output_tokens"}]}
    for body, failed in ((of_rows, {"score.exact_match"}), (live, {f"score.{walk.service}", "latency"})):
        made = walk.key.post("gates", json=body)
        assert made.status_code == 201, made.text
        gate = made.json()["id"]
        asked = walk.key.post(f"gates/{gate}/runs").json()["id"]
        result = walk.ended(f"gates/{gate}/runs/{asked}")["result"]
        verdicts = {name: each["verdict"] for name, each in result["metrics"].items()}
        assert {name for name, verdict in verdicts.items() if verdict == "fail"} == failed, verdicts
        assert walk.get(f"gates/{gate}/verdict")["exit_code"] == 1


def drift_monitor(walk: Walk) -> None:
    """6: another topic than the day before yesterday is found, with its examples."""
    body = {"name": walk.service, "scope": f"service:{walk.service}", "signals": ["input", "latency"]}
    made = walk.key.post("drift-monitors", json=body | {"current_hours": 24, "reference_hours": 48})
    assert made.status_code == 201, made.text
    monitor = made.json()["id"]
    # A new monitor looks by itself at once; where it does already, there is nothing to ask for.
    assert walk.key.post(f"drift-monitors/{monitor}/looks").status_code in (202, 409)
    looks = f"drift-monitors/{monitor}/looks"
    look = walk.ended(f"{looks}/{walk.get(looks)['items'][-1]['id']}")
    assert look["result"]["verdict"] == "drift", look
    found = walk.get("drift-findings", monitor=monitor)["items"]
    [topic] = [each for each in found if each["signal"] == "input" and not each["segment_field"]][:1]
    assert any("battery" in row["text"] for cluster in topic["details"]["clusters"] for row in cluster["after"])


def people_judge(walk: Walk) -> None:
    """7: two people share a queue, half of it assigned; their words become scores, agreement, rows and a threshold."""
    second = f"second-{walk.service}"
    another_person(walk.platform, second)
    dataset = walk.send("POST", "datasets", json={"name": f"corrections {walk.service}"})["id"]
    rubric = [{"name": f"right {walk.service}", "kind": "boolean"}, {"name": "better answer", "kind": "correction"}]
    body = {"name": walk.service, "rubric": rubric, "annotators_per_item": 2, "dataset": dataset}
    queue = f"annotation/queues/{walk.send('POST', 'annotation/queues', json=body)['id']}"
    chosen: dict[str, Any] = {"filter": f"service:{walk.service} release:2", "score": walk.service, "limit": JUDGED}
    assert walk.send("POST", f"{queue}/items", json=chosen) == {"new": JUDGED, "known": 0, "missing": []}
    share = walk.send("POST", f"{queue}/assign", json={"people": ["admin", second], "share": 50})
    assert share["assigned"] == {"admin": JUDGED // 2, second: JUDGED // 2}
    truth = {(each["trace_id"], each["span_id"]): bool(each["value"]) for each in walk.scores(walk.service)}

    def judge_all(person: httpx.Client, name: str, *, doubts: int) -> list[str]:
        """Judge all that comes, the first right answers wrongly; return whom each answer was kept for."""
        kept = []
        while (held := sent(person, "POST", f"{queue}/next"))["slot"]:
            kept.append(held["slot"]["assignee"])
            is_right = truth[held["item"]["trace_id"], held["item"]["span_id"]]
            said: dict[str, Any] = {rubric[0]["name"]: is_right and doubts == 0}
            doubts -= is_right and doubts > 0
            if not is_right and name == second:
                said["better answer"] = json.dumps({"answer": "none"})
            sent(person, "POST", f"{queue}/slots/{held['slot']['id']}", json={"values": said})
        return kept

    assert judge_all(walk.person, "admin", doubts=0) == ["admin"] * (JUDGED // 2) + [None] * (JUDGED // 2)
    with signed_in(walk.platform, second) as other:
        left = sent(other, "POST", f"{queue}/next")
        sent(other, "POST", f"{queue}/slots/{left['slot']['id']}/skip", json={"reason": "not my field"})
        assert judge_all(other, second, doubts=1) == [second] * (JUDGED // 2 - 1) + [None] * (JUDGED // 2)
    progress = walk.get(queue)["progress"]
    assert (progress["done"], progress["slots"], progress["skips"]) == (2 * JUDGED - 1, 2 * JUDGED, 1)
    eventually(lambda: walk.get(queue)["progress"]["unwritten"] == 0, DONE_SECONDS)
    human = walk.scores(rubric[0]["name"])
    assert (len(human), {each["author"] for each in human}) == (2 * JUDGED - 1, {"admin", second})
    (agreed,) = [each for each in walk.get(f"{queue}/agreement")["items"] if each["name"] == rubric[0]["name"]]
    assert 0.8 < agreed["alpha"]["value"] < 1
    kept = walk.send("POST", f"{queue}/corrections", json={})
    assert kept["rows"] == len(walk.get(f"datasets/{dataset}/rows")["items"]) >= EACH // 3 - 1
    plan = {"dimension": rubric[0]["name"], "score": walk.service}
    result = walk.send("POST", f"{queue}/calibrations", json=plan)["result"]
    # Of the one on which they differ, nothing is known.
    assert (result["positives"], result["n"]) == (JUDGED - EACH // 3 - 1, JUDGED - 1)
    assert result["auroc"]["value"] == pytest.approx(1.0)


def schedule_was_kept(walk: Walk, job: int) -> None:
    """2: beat had the job done at its time; somebody has it done now as well."""
    started = walk.key.post(f"schedules/{job}/runs")
    assert started.status_code == 201, started.text

    def both() -> Any:
        runs = walk.get(f"schedules/{job}/runs")["items"]
        done = [each for each in runs if each["status"] == "done"]
        return any(each["due_at"] for each in done) and started.json()["id"] in {each["id"] for each in done} and runs

    runs = eventually(both, DONE_SECONDS)
    assert {each["status"] for each in runs} <= {"done", "queued", "running"}
    assert all(each["log"] and each["duration_s"] >= 0 for each in runs if each["status"] == "done")
    walk.send("DELETE", f"schedules/{job}")


def walk_through(platform: Platform) -> None:
    """Go the whole way."""
    with walk_of(platform) as walk:
        rule_judges_each_span_once(walk)
        job = schedule(walk)
        people_judge(walk)
        judge = judge_judges(walk)
        gates(walk, experiments(walk, data_set(walk), judge))
        drift_monitor(walk)
        schedule_was_kept(walk, job)
