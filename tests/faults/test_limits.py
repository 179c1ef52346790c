"""Limits of a key hold while processes die: what was acknowledged is stored, what was refused is not."""

import signal
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.faults.conftest import start_what_is_missing
from tests.faults.load import PROTOBUF, SPANS, Sent, traces
from tests.faults.once import is_balanced, is_once
from tests.ingest.books import books, limit
from tests.ingest.stack import Stack, Tenant, eventually

MOST = 10 * SPANS


def send(stack: Stack, tenant: Tenant, requests: int) -> tuple[Sent, int]:
    """Send to both processes at once; return what was acknowledged, and how many requests were refused."""
    made = [traces("") for _ in range(requests)]

    def post(number: int) -> httpx.Response:
        address = (stack.http, stack.web_http)[number % 2]
        body, _ = made[number]
        return httpx.post(f"{address}/v1/traces", content=body, headers=tenant.headers | PROTOBUF, timeout=180)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(post, range(requests)))
    acknowledged, refused = Sent(), 0
    for answer, (_, sent) in zip(answers, made, strict=True):
        if answer.status_code == 200:
            acknowledged.add(sent)
        else:
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) > 0
            refused += 1
    return acknowledged, refused


def test_a_month_s_spans_are_still_used_up_after_everything_was_killed(stack: Stack, tenant: Tenant) -> None:
    limit(stack, tenant, max_spans_per_month=MOST)
    sent, refused = send(stack, tenant, 40)
    # Each process knew its own use only: no more than both may take alone.
    spans = sum(map(len, sent.spans.values()))
    assert MOST <= spans <= 2 * MOST
    found = eventually(lambda: (now := books(stack, tenant))["requests"] == 40 and now)
    assert (found["accepted"], found["refused: quota_spans"]) == (spans, refused)
    for process in (stack.collector, stack.web, stack.store):
        process.stop(signal.SIGKILL)
    start_what_is_missing(stack)

    def are_both_refusing() -> bool:
        more, refused = send(stack, tenant, 2)
        sent.add(more)
        return refused == 2

    eventually(are_both_refusing)
    # A fresh process asks at once, and takes no more than comes before it has the answer.
    assert sum(map(len, sent.spans.values())) <= spans + 2 * MOST
    is_once(stack, tenant, sent)
    # Each process writes its counts down on its own beat.
    assert eventually(lambda: is_balanced(books(stack, tenant)))
