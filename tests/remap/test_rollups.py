"""What is derived under a token is there once, however often it is derived."""

import uuid

import pytest

from heliograph.accounts.models import Project
from heliograph.clickhouse import client
from heliograph.remap.rollups import DERIVED, derive
from tests.query.rows import llm, new_trace_id, span, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]


def test_rows_derived_again_under_their_token_are_there_once(project: Project) -> None:
    for _ in range(2):
        trace_id = new_trace_id()
        store_spans(project.pk, span(trace_id, 1), llm(trace_id, 61))
    spans = "SELECT * FROM spans WHERE project_id = %(project_id)s"
    # Where threads decide, one of three goes wrong: twenty show it.
    for _ in range(20):
        token = uuid.uuid4().hex
        for _ in range(3):
            derive(project.pk, DERIVED[0], spans, {}, into="span_rollups_removed", token=token)
    sql = "SELECT sum(spans) AS n FROM span_rollups_removed WHERE project_id = %(project_id)s"
    assert client.query(project.pk, sql, tag="test")[0]["n"] == 20 * 4
