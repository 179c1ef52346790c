"""A retried export counts once: in the list, in the trace summaries, in the rollups."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ingest.senders import trace_request
from tests.ingest.stack import Process, Stack
from tests.ingest.test_http import post


def test_a_retried_export_is_counted_once(stack, tenant):
    body = trace_request(20).SerializeToString()
    for _ in range(3):
        assert post(stack, tenant, body).status_code == 200
    assert stack.counts(tenant) == (20, 20, 20)


def test_a_span_that_comes_twice_in_one_request_is_counted_once(stack, tenant):
    request = trace_request(3)
    request.MergeFrom(request)
    assert post(stack, tenant, request.SerializeToString()).status_code == 200
    assert stack.counts(tenant) == (3, 3, 3)


def test_retries_at_the_same_time_are_counted_once(stack, tenant):
    bodies = [trace_request(10).SerializeToString() for _ in range(5)] * 8
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda body: post(stack, tenant, body).status_code, bodies))
    assert set(answers) == {200}
    assert stack.counts(tenant) == (50, 50, 50)


def test_new_spans_among_known_ones_are_stored(stack, tenant):
    first, second = trace_request(5), trace_request(5)
    assert post(stack, tenant, first.SerializeToString()).status_code == 200
    second.MergeFrom(first)
    assert post(stack, tenant, second.SerializeToString()).status_code == 200
    assert stack.counts(tenant) == (10, 10, 10)


@pytest.fixture
def second_collector(stack: Stack) -> Process:
    """Start another collector on the same data folder; the session's one is the stack's again afterwards."""
    first, http, grpc = stack.collector, stack.http, stack.grpc
    second = stack.start_collector()
    addresses = {"http": stack.http}
    stack.collector, stack.http, stack.grpc = first, http, grpc
    yield second, addresses["http"]
    second.stop()


def test_retries_to_two_processes_at_once_are_counted_once(stack, tenant, second_collector):
    _, other_http = second_collector
    other = Stack.__new__(Stack)
    other.http = other_http
    bodies = [trace_request(10).SerializeToString() for _ in range(20)]
    with ThreadPoolExecutor(20) as threads:
        sent = [threads.submit(post, each, tenant, body) for body in bodies for each in (stack, other)]
    assert {answer.result().status_code for answer in sent} == {200}
    assert stack.counts(tenant) == (200, 200, 200)


def test_a_retry_after_a_restart_is_counted_once(stack, tenant, second_collector):
    process, other_http = second_collector
    other = Stack.__new__(Stack)
    other.http = other_http
    body = trace_request(10).SerializeToString()
    assert post(other, tenant, body).status_code == 200
    process.stop()
    assert post(stack, tenant, body).status_code == 200
    assert stack.counts(tenant) == (10, 10, 10)
