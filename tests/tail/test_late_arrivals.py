"""What arrives for a trace that sampling removed: left out and counted, so that nothing counts twice."""

import time
from datetime import UTC, datetime

import pytest

from heliograph.accounts.models import Project
from heliograph.ingest.exports import Batch, Export, decode_by_rules
from heliograph.rules.models import SamplingRule
from heliograph.rules.project import forget
from tests.ingest.senders import trace_request
from tests.query.rows import store_rows

pytestmark = pytest.mark.usefixtures("store")


def decoded(project: Project, body: bytes) -> Batch:
    return decode_by_rules(Export("traces", project.pk, 90, "protobuf", "", time.time_ns(), body))


def trace_ids_of(batch: Batch) -> set[str]:
    return set(batch.decoded.columns["trace_id"])


@pytest.fixture
def request_of_two(project: Project) -> bytes:
    """An export of five spans, three of them of a trace that was removed."""
    request = trace_request(5)
    spans = request.resource_spans[0].scope_spans[0].spans
    for number, span in enumerate(spans):
        span.trace_id = bytes([1 if number < 3 else 2]) * 16
    mark = {"trace_id": "01" * 16, "removed_at": datetime.now(UTC), "removed_why": "no sampling rule wanted it"}
    store_rows(project.pk, "trace_states", [mark | {"start_time": datetime.now(UTC), "retention_days": 90}])
    return request.SerializeToString()


def test_spans_of_a_removed_trace_are_left_out_and_counted_as_sampled(project: Project, request_of_two: bytes) -> None:
    SamplingRule.objects.create(project=project, name="failed", stage="tail", condition="error")
    forget()
    batch = decoded(project, request_of_two)
    assert (batch.decoded.accepted, batch.sampled, trace_ids_of(batch)) == (2, 3, {"02" * 16})


def test_a_project_without_such_rules_does_not_ask(project: Project, request_of_two: bytes) -> None:
    SamplingRule.objects.create(project=project, name="failed", stage="tail", condition="error", enabled=False)
    forget()
    batch = decoded(project, request_of_two)
    assert (batch.decoded.accepted, batch.sampled) == (5, 0)


def test_another_projects_removal_takes_nothing(project: Project, request_of_two: bytes) -> None:
    other = Project.objects.create(
        id=project.pk + 2**31, organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )
    SamplingRule.objects.create(project=other, name="failed", stage="tail", condition="error")
    forget()
    assert decoded(other, request_of_two).decoded.accepted == 5
