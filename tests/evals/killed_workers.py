"""Kills workers at random moments while they work off a backlog; `test_kills.py` runs it as a process of its own.

    python killed_workers.py SPANS KILLS SEED

Its data folder has a migrated database.

Each worker is a process that runs the worker's own code with connections of its own, and ends by SIGKILL. They are
forked from this one, which has imported what takes seconds to import and has connected to nothing.
"""

import json
import os
import random
import signal
import sys
import time

import django


def main(spans: int, kills: int, seed: int) -> None:
    django.setup()
    from heliograph.evals.online import passes, worker

    # Many small batches, so that most kills come while one is read, judged, stored, or marked as done.
    passes.LARGEST = passes.SMALLEST
    in_child(lambda: prepare(spans))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    random_ = random.Random(seed)
    most_s, done = 0.2, 0
    while done < kills:
        before = judged()
        pid = fork(worker.judge_new_spans)
        signal.sigtimedwait({signal.SIGCHLD}, random_.uniform(0, most_s))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            done += 1
        else:
            raise SystemExit(f"the backlog was worked off after {done} kills")
        # A slow machine gets more time, so that the kills spread over the backlog.
        if judged() == before:
            most_s = min(5.0, most_s * 1.5)
    deadline = time.monotonic() + 500
    while in_child(finish) and time.monotonic() < deadline:
        pass
    sys.stdout.write(json.dumps(read()) + "\n")


def fork(work: object) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = int(bool(work()))  # type: ignore[operator]
        finally:
            os._exit(code)
    return pid


def in_child(work: object) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(fork(work), 0)[1])


def prepare(spans: int) -> None:
    from heliograph.accounts.models import Organization, Project
    from heliograph.clickhouse import client
    from heliograph.evals.models import EvaluationRule
    from tests.query.rows import llm, new_trace_id, store_spans

    project = Project.objects.create(
        id=int(os.environ["PROJECT_ID"]), organization=Organization.objects.create(name="o"), name="p", slug="p"
    )
    rule = EvaluationRule.objects.get(project=project)
    rule.name, rule.evaluator, rule.filter = "valid", "json_schema", ""
    rule.save()
    for first in range(0, spans, 1000):
        texts = ("{}" if number % 3 else "no JSON" for number in range(first, min(spans, first + 1000)))
        store_spans(project.pk, *(llm(new_trace_id(), 10, output=text, received_at=at()) for text in texts))
    client.close_connections()


def at() -> object:
    from datetime import UTC, datetime, timedelta

    return datetime.now(UTC) - timedelta(minutes=random.uniform(2, 60))


def finish() -> bool:
    from heliograph.evals.models import Gap
    from heliograph.evals.online.worker import judge_new_spans

    judge_new_spans()
    return Gap.objects.exists()


def read() -> dict[str, int]:
    from heliograph.evals.models import Gap, RuleDay, SetAside

    return {
        "gaps": Gap.objects.count(),
        "aside": SetAside.objects.count(),
        "counted": sum(RuleDay.objects.values_list("scored", flat=True)),
    }


def judged() -> int:
    """Read without Django, whose connections a child would inherit."""
    import sqlite3

    from django.conf import settings

    with sqlite3.connect(settings.DATABASES["default"]["NAME"]) as database:
        return database.execute("SELECT coalesce(sum(scored), 0) FROM evals_ruleday").fetchone()[0]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
