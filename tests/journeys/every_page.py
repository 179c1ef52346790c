"""Every page there is, by a name, and one of each thing that a page shows: for the tests of all pages and the pictures.

- `send(page, base, path, body)`: a post to the public API
- `make_examples(page, base)`: a data set with two experiments, an alert rule, a channel, ... over the public API
- `paths(page, base)`: name -> path, where ids are found on the lists
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Page

API = "/api/v1"
PROJECT = "default"
QUESTIONS = ("Can I return a used bicycle?", "Where is my parcel?", "How is a refund paid?", "Do you sell lights?")


def send(page: Page, base: str, path: str, body: object) -> Any:
    """Post to the public API as the person who is signed in; return what it answers."""
    token = next(one["value"] for one in page.context.cookies() if one["name"] == "csrftoken")
    headers = {"x-csrftoken": token, "referer": base}
    answer = page.request.post(f"{base}{API}/{path}?project={PROJECT}", data=body, headers=headers)
    assert answer.ok, f"{path}: {answer.text()}"
    return answer.json()


def make_examples(page: Page, base: str) -> None:
    """Add one of each, as the person who is signed in; nothing where it was done before."""
    post = partial(send, page, base)

    known = page.request.get(f"{base}{API}/datasets?project={PROJECT}&name=refunds").json()
    if known["items"]:
        return
    dataset = post("datasets", {"name": "refunds", "description": "Questions about orders, with the right answers."})
    rows = [
        {"id": f"r-{at}", "input": question, "expected": f"Answer {at}", "split": "test"}
        for at, question in enumerate(QUESTIONS)
    ]
    post(f"datasets/{dataset['id']}/rows", {"rows": rows})
    runs = []
    for run, right in (("prompt 6", 4), ("prompt 7", 3)):
        started = post(
            "experiments",
            {"dataset": "refunds", "name": run, "kind": "function", "evaluators": ["exact_match"]},
        )
        results = [
            {"id": f"r-{at}", "output": f"Answer {at if at < right else 9}", "duration_ms": 300 + 40 * at}
            for at in range(len(QUESTIONS))
        ]
        post(f"experiments/{started['id']}/results", {"results": results})
        post(f"experiments/{started['id']}/finish", {})
        runs.append(started["id"])
    gate = {"name": "prompt 7", "source": "dataset", "baseline_run": runs[0], "candidate_run": runs[1]}
    gates = [post("gates", gate | {"metrics": [{"name": "latency"}]})]
    live = {"name": "release 1.5", "source": "live", "scope": "service:support-bot"}
    live |= {"baseline": "release:1.4.0", "candidate": "release:1.5.0"}
    gates.append(post("gates", live | {"metrics": [{"name": "errors"}, {"name": "latency", "margin": 0.1}]}))
    for one in gates:
        post(f"gates/{one['id']}/runs", {})
    monitor = {"name": "Questions by release", "scope": "", "signals": ["input", "latency"], "segments": ["release"]}
    monitor |= {"reference": "sliding", "current_hours": 6, "reference_hours": 24, "every_hours": 24}
    looked = post("drift-monitors", monitor | {"alpha": 0.05, "min_effect": 0.1})
    post(f"drift-monitors/{looked['id']}/looks", {})
    # Nobody answers there: the message of the test is tried, and its tries are shown.
    hook = {"name": "On call", "kind": "webhook", "config": {"url": "http://127.0.0.1:9/hook"}}
    channel = post("alert-channels", hook)
    post(f"alert-channels/{channel['id']}/test", {})
    slow = {"name": "Slow answers", "severity": "warning", "measure": "latency_p95", "window": 5, "by": ["service"]}
    slow |= {"kind": "threshold", "condition": {"side": "above", "bound": 0.2}, "channels": [channel["id"]]}
    post("alert-rules", slow | {"description": "p95 over 0.2 s for five minutes"})
    night = datetime.now(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    silence = {"comment": "Nightly restart", "starts_at": night.isoformat(), "is_weekly": True}
    post("silences", silence | {"ends_at": (night + timedelta(hours=1)).isoformat(), "labels": {"service": "search"}})
    schedule = {"name": "Once more at night", "kind": "evaluate", "cron": "0 3 * * *", "timezone": "Europe/Berlin"}
    post("schedules", schedule | {"arguments": {"rule": "groundedness"}})
    post("judge-endpoints", {"name": "house model", "base_url": "http://127.0.0.1:9/v1", "model": "qwen3-8b"})
    asked = [{"name": "correct", "kind": "boolean"}, {"name": "helpfulness", "kind": "number", "low": 1, "high": 5}]
    queue = post("annotation/queues", {"name": "Support answers", "rubric": asked, "annotators_per_item": 2})
    post(f"annotation/queues/{queue['id']}/items", {"filter": "service:support-bot", "limit": 5})
    panels = [
        {"title": "Requests", "measure": "requests", "chart": "bar", "by": ["service"]},
        {"title": "Slowest twentieth", "measure": "latency_p95", "chart": "line", "by": ["model"]},
        {"title": "Cost", "measure": "cost", "chart": "number"},
    ]
    post("dashboards", {"name": "Ours", "panels": panels})


def first_link(page: Page, url: str, part: str) -> str:
    """Return the path of the first link on a page whose address has a part; fails where there is none."""
    page.goto(url)
    found = page.locator(f"main a[href*='{part}']:not([href$='/new'])").first.get_attribute("href")
    assert found, f"{url} has no link with {part}"
    return found.partition("#")[0]


def paths(page: Page, base: str, query: str = "range=7d") -> dict[str, str]:
    """Return the path of every page; one of the things that a page shows is the first of its list."""
    root = f"/p/{PROJECT}"

    def of(listed: str, part: str) -> str:
        return first_link(page, f"{base}{root}/{listed}", part)

    trace = of(f"traces?q=service:support-bot&{query}", "/traces/").partition("?")[0]
    trace_id = trace.rpartition("/")[2]
    dataset = of("datasets", "/datasets/")
    gate, look = of("evaluations/gates", "/gates/"), of("evaluations/monitors", "/monitors/")
    channel, rule = of("alerts/channels", "/channels/"), of("alerts", "/alerts/rules/")
    board = of("dashboards", "/dashboards/")
    queue = of("annotation", "/annotation/")
    return {
        "overview": f"{root}/?{query}",
        "overview-map": f"{root}/?{query}&latency=map",
        "traces": f"{root}/traces?{query}",
        "traces-filtered": f"{root}/traces?q=-status:ok+latency%3E500ms&{query}&cols=time&cols=trace&cols=session",
        "traces-mistake": f"{root}/traces?q=modle:x",
        "traces-none": f"{root}/traces?q=nothingatall",
        "exports": f"{root}/traces/exports?{query}",
        "archive": f"{root}/traces/archive",
        "trace": trace,
        "trace-unknown": f"{root}/traces/unknown",
        "trace-compare": f"{root}/traces/compare?before={trace_id}&after={trace_id}",
        "trace-compare-none": f"{root}/traces/compare",
        "annotation": f"{root}/annotation",
        "annotation-queue": queue,
        "annotation-work": f"{queue}/work",
        "annotation-calibration": f"{queue}/calibration",
        "sessions": f"{root}/sessions?{query}",
        "session": of(f"sessions?{query}", "/sessions/one"),
        "users": f"{root}/users?{query}",
        "user": of(f"users?{query}", "/users/one"),
        "models": f"{root}/models?{query}",
        "model": of(f"models?{query}", "/models/one"),
        "models-compare": f"{root}/models/compare?model=gpt-4o-mini&model=gpt-4o&{query}",
        "adapter": f"{root}/models/adapter?model=gpt-4o-mini&adapter=&{query}",
        "prompts": f"{root}/models/prompts?{query}",
        "prompt": of(f"models/prompts?{query}", "/models/prompt?"),
        "documents": f"{root}/documents?{query}",
        "gpus": f"{root}/gpus?{query}",
        "engines": f"{root}/gpus/engines?{query}",
        "training": f"{root}/gpus/training?{query}",
        "calculator": f"{root}/gpus/calculator",
        "costs": f"{root}/costs?{query}",
        "evaluations": f"{root}/evaluations?{query}",
        "evaluation-rules": f"{root}/evaluations/rules",
        "schedules": f"{root}/evaluations/schedules",
        "judges": f"{root}/evaluations/judges",
        "gates": f"{root}/evaluations/gates",
        "gate": gate,
        "monitors": f"{root}/evaluations/monitors",
        "monitor": look,
        "datasets": f"{root}/datasets",
        "dataset": dataset,
        "dataset-row": of(dataset.removeprefix(f"{root}/"), "/rows/"),
        "dataset-diff": f"{dataset.partition('?')[0]}/diff",
        "experiments": f"{root}/experiments",
        "experiment": of("experiments", "/experiments/"),
        "experiments-compare": _two_runs(page, base, root),
        "alerts": f"{root}/alerts",
        "alert-rule": rule,
        "alert-rule-new": f"{root}/alerts/rules/new",
        "alert-channels": f"{root}/alerts/channels",
        "alert-channel": channel,
        "alert-channel-new": f"{root}/alerts/channels/new",
        "deliveries": f"{root}/alerts/deliveries",
        "silences": f"{root}/alerts/silences",
        "dashboards": f"{root}/dashboards",
        "dashboard": f"{board.partition('?')[0]}?{query}",
        "ingest": f"{root}/ingest?{query}",
        "settings": f"{root}/settings",
        "people": f"{root}/settings/people",
        "security": "/security",
        "proof": "/security/proof",
        "passkey-add": "/security/passkeys/new",
        "authenticator": "/security/authenticator",
        "health": "/health",
        "runbook": "/health/runbook",
        "audit": f"{root}/settings/audit",
        "conventions": f"{root}/settings/conventions?range=1h",
        "redaction": f"{root}/settings/redaction",
        "sampling": f"{root}/settings/sampling",
        "prices": f"{root}/settings/prices?model=in-house",
        "scraping": f"{root}/settings/scraping",
        "erasures": f"{root}/settings/erasures",
        "holds": f"{root}/settings/holds",
    }


def paths_of_the_day(page: Page, base: str, query: str) -> dict[str, str]:
    """Return the paths of pages that need GPUs, engines and prompts, as `make demo` and the scripted day have them."""
    root = f"/p/{PROJECT}"
    gpu = first_link(page, f"{base}{root}/gpus?{query}", "/gpus/device/")
    engine = first_link(page, f"{base}{root}/gpus/engines?{query}", "/gpus/engine?")
    return {
        "gpu": gpu,
        "gpu-node": first_link(page, f"{base}{root}/gpus?{query}", "/gpus/node"),
        "engine": engine,
    }


def _two_runs(page: Page, base: str, root: str) -> str:
    page.goto(f"{base}{root}/experiments")
    names = page.locator("main input[name=run]")
    runs = [names.nth(at).get_attribute("value") or "" for at in range(min(2, names.count()))]
    return f"{root}/experiments/compare?" + "&".join(f"run={quote(run)}" for run in runs)
