"""The sampling page: rules, what they would keep, what they did, and what waits for complete traces."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Membership, Project
from heliograph.query.filters import to_ns
from heliograph.rules.models import SamplingRule, TraceWaiting
from tests.dashboards.conftest import Signed
from tests.query.rows import new_trace_id, span, store_rows, store_spans

pytestmark = pytest.mark.usefixtures("store")
ALL = {"service": "", "environment": "", "rate": "1", "threshold": "", "score": ""}
FAILED = ALL | {"name": "failed", "stage": "tail", "condition": "error"}
SLOW = ALL | {"name": "slow", "stage": "tail", "condition": "duration", "threshold": "30"}
NONE_IN = ALL | {"name": "nothing", "stage": "head", "condition": "any", "rate": "0"}


def page(reader: Client, project: Project, query: str = "") -> str:
    answer = reader.get(f"{reverse('settings-sampling', args=[project.slug])}?{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def post(reader: Client, project: Project, name: str, /, *ids: Any, **form: Any) -> Any:
    return reader.post(reverse(f"settings-sampling-{name}", args=[project.slug, *ids]), form)


def tried(reader: Client, project: Project, **form: str) -> str:
    return reader.get(reverse("settings-sampling-preview", args=[project.slug]), form).content.decode()


def store_lately(project: Project, **fields: Any) -> None:
    start = to_ns(datetime.now(UTC) - timedelta(minutes=10))
    store_spans(project.pk, span(new_trace_id(), 1, start_time=start, **fields))


def test_rules_are_added_changed_moved_and_removed(reader: Client, project: Project) -> None:
    for rule in (FAILED, SLOW):
        assert post(reader, project, "save", **rule).status_code == 302
    slow = SamplingRule.objects.get(name="slow")
    assert 'value="30"' in page(reader, project, f"rule={slow.pk}")
    post(reader, project, "save", **SLOW | {"rule": slow.pk, "threshold": "60", "score": "hidden"})
    post(reader, project, "move", slow.pk, step="up")
    assert [(rule.name, rule.threshold, rule.score) for rule in SamplingRule.objects.all()] == [
        ("slow", 60.0, ""),
        ("failed", None, ""),
    ]
    post(reader, project, "remove", slow.pk)
    assert SamplingRule.objects.get().name == "failed"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold": ""}, "This condition needs a number."),
        ({"condition": "score_below"}, "Name the score."),
        ({"rate": "1.5"}, "less than or equal to 1"),
    ],
)
def test_a_rule_that_cannot_be_says_why(reader: Client, project: Project, changes: dict[str, str], said: str) -> None:
    answer = post(reader, project, "save", **SLOW | changes)
    assert (answer.status_code, said in answer.content.decode()) == (422, True)
    assert not SamplingRule.objects.exists()


def test_a_preview_says_which_share_of_the_last_hour_would_have_been_kept(reader: Client, project: Project) -> None:
    assert "nothing to try the rules on" in tried(reader, project)
    for number in range(4):
        store_lately(project, status="error" if number == 0 else "ok")
    assert "100 %" in tried(reader, project)
    with_draft = tried(reader, project, **FAILED)
    assert "25 %" in with_draft
    assert "failed: 1" in with_draft.replace('<span class="nowrap" title="1">', "").replace("</span>", "")
    assert "0 %" in tried(reader, project, **NONE_IN)
    assert "needs a number" in tried(reader, project, **SLOW | {"threshold": ""})
    assert not SamplingRule.objects.exists()


def test_the_page_says_how_many_traces_were_kept_of_how_many(reader: Client, project: Project) -> None:
    entry = {"key_id": 0, "signal": "traces", "minute": datetime.now(UTC).replace(second=0, microsecond=0)}
    entries = [("kept_traces", "failed", 3), ("removed_traces", "", 22), ("removed", "", 70)]
    rows = [entry | {"what": what, "reason": reason, "n": n} for what, reason, n in entries]
    store_rows(project.pk, "ingest_ledger", rows)
    shown = page(reader, project).replace("</span>", "")
    for said in ('title="3">3 of', 'title="25">25 complete', 'title="70">70 spans were removed'):
        assert said in shown


def test_evaluators_are_told_to_wait(reader: Client, project: Project) -> None:
    post(reader, project, "wait", evaluators_wait="on")
    assert TraceWaiting.evaluators(project.pk)
    assert "checked" in page(reader, project)
    post(reader, project, "wait")
    assert not TraceWaiting.evaluators(project.pk)


def test_another_projects_rules_are_neither_shown_nor_changed_nor_tried(reader: Client, project: Project) -> None:
    other = Project.objects.create(
        id=project.pk + 2**31, organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )
    rule = SamplingRule.objects.create(project=other, name="theirs", rate=0)
    store_lately(other)
    for name in ("switch", "move", "remove"):
        assert post(reader, project, name, rule.pk).status_code == 404
    assert post(reader, project, "save", **FAILED | {"rule": rule.pk}).status_code == 404
    assert "theirs" not in page(reader, project)
    assert "nothing to try the rules on" in tried(reader, project)
    assert SamplingRule.objects.get().enabled


def test_a_viewer_sees_the_rules_and_cannot_change_them(signed_in: Signed, project: Project) -> None:
    SamplingRule.objects.create(project=project, name="ours")
    shown = page(signed_in(Membership.Role.VIEWER), project)
    assert "ours" in shown
    assert "Switch off" not in shown
