"""The conventions page: keys that nobody maps, rules and their preview, revisions, re-application."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from collectors.semconv.rules import Rule
from heliograph.accounts.models import Membership, Project
from heliograph.conventions import rulesets
from heliograph.conventions.models import Reapplication
from heliograph.remap import queue
from tests.dashboards.conftest import IN_HOUR, Signed
from tests.query.rows import llm, new_trace_id, store_spans

pytestmark = pytest.mark.usefixtures("store")
GOOD = {"source": "acme.session", "field": "session_id", "match": "exact", "order": "before", "conversion": ""}
HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker listens here, and the broker of a test is a folder that nobody empties."""
    monkeypatch.setattr(queue, "wake_worker", lambda after_seconds=0.0: None)


def page(reader: Client, project: Project, query: str = IN_HOUR) -> str:
    answer = reader.get(f"{reverse('settings-conventions', args=[project.slug])}?{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def post(reader: Client, project: Project, name: str, *ids: Any, **form: Any) -> Any:
    return reader.post(reverse(f"settings-conventions-{name}", args=[project.slug, *ids]), form)


def stored_call(project: Project, **fields: Any) -> dict[str, Any]:
    given = {"attributes": {"acme.session": "s-17", "user.id": "jane"}, "user_id": "jane"} | fields
    row = llm(new_trace_id(), 1, **given)
    store_spans(project.pk, row)
    return row


def test_unmapped_keys_are_listed_with_an_example_and_a_way_to_map_them(reader: Client, project: Project) -> None:
    stored_call(project)
    shown = page(reader, project)
    assert "acme.session" in shown
    assert "s-17" in shown
    assert "1</span> key nobody maps" in shown
    assert "?source=acme.session&amp;" in shown
    assert 'value="acme.session"' in page(reader, project, f"{IN_HOUR}&source=acme.session")
    assert "No unmapped key has this in it" in page(reader, project, f"{IN_HOUR}&key=elsewhere")


def test_a_rule_is_saved_edited_switched_and_removed_on_the_page(reader: Client, project: Project) -> None:
    assert post(reader, project, "save", **GOOD).status_code == 302
    [rule] = rulesets.rules_in_force(project)
    assert 'value="acme.session"' in page(reader, project, f"rule={rule['id']}")
    post(reader, project, "save", **GOOD | {"rule": rule["id"], "field": "user_id"})
    assert [each["field"] for each in rulesets.rules_in_force(project)] == ["user_id"]
    post(reader, project, "switch", rule["id"])
    assert '<tr id="rule-' in page(reader, project)
    assert rulesets.rules_in_force(project)[0]["enabled"] is False
    post(reader, project, "remove", rule["id"])
    assert rulesets.rules_in_force(project) == []
    shown = page(reader, project)
    assert len(re.findall(r"(added|changed|disabled|removed) acme.session", shown)) == 4


def test_a_rule_that_cannot_be_keeps_what_was_typed_and_says_why_at_the_field(reader: Client, project: Project) -> None:
    answer = post(reader, project, "save", **GOOD | {"source": "session.id"})
    assert answer.status_code == 422
    shown = answer.content.decode()
    assert 'value="session.id"' in shown
    assert "reads this key as session_id already" in shown
    assert rulesets.rules_in_force(project) == []


def test_a_rule_removed_meanwhile_is_not_saved(reader: Client, project: Project) -> None:
    answer = post(reader, project, "save", **GOOD | {"rule": "gone"})
    assert answer.status_code == 302
    assert "removed meanwhile" in page(reader, project)
    assert rulesets.rules_in_force(project) == []


def test_the_preview_shows_before_and_after(reader: Client, project: Project) -> None:
    stored_call(project, attributes={"acme.session": HOSTILE}, session_id="old")
    address = f"{reverse('settings-conventions-preview', args=[project.slug])}?{IN_HOUR}"
    query = "&source=acme.session&field=user_id&match=exact&order=before"
    shown = reader.get(address + query).content.decode()
    assert "<del>jane</del>" in shown
    assert "<ins>&quot;&gt;&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "user_id in 1" in shown
    unread = reader.get(address + "&source=acme.session&field=input_tokens&match=exact").content.decode()
    assert "stays as it is" in unread
    assert "has this key" in reader.get(address + "&source=no.such&field=user_id&match=exact").content.decode()
    assert "Source: " in reader.get(address + "&field=user_id&match=exact").content.decode()


def test_the_ways_to_read_a_field_follow_the_chosen_field(reader: Client, project: Project) -> None:
    address = reverse("settings-conventions-conversions", args=[project.slug])
    shown = reader.get(f"{address}?field=ttft_ns").content.decode()
    assert "milliseconds" in shown
    assert "milliseconds" not in reader.get(f"{address}?field=tags").content.decode()
    assert "<option" not in reader.get(f"{address}?field=nosuch").content.decode()


def test_a_re_application_is_started_watched_and_cancelled(reader: Client, project: Project) -> None:
    stored_call(project)
    post(reader, project, "reapply", past="24h")
    assert "nothing to re-apply" in page(reader, project)
    post(reader, project, "save", **GOOD)
    assert post(reader, project, "reapply", past="24h").status_code == 302
    job = Reapplication.objects.get()
    job.advance(job.start + (job.end - job.start) / 4, 1, 1)
    jobs = reader.get(reverse("settings-conventions-jobs", args=[project.slug])).content.decode()
    assert 'hx-trigger="every 2s"' in jobs
    assert 'value="25"' in jobs
    post(reader, project, "cancel", job.pk)
    assert "is being cancelled" in page(reader, project)
    job.end_as(Reapplication.Status.CANCELLED)
    jobs = reader.get(reverse("settings-conventions-jobs", args=[project.slug])).content.decode()
    assert "hx-trigger" not in jobs
    assert "cancelled" in jobs


def test_everything_that_is_kept_is_a_range_of_the_retention_and_its_week(reader: Client, project: Project) -> None:
    post(reader, project, "save", **GOOD)
    post(reader, project, "reapply", past="all")
    start: datetime = Reapplication.objects.get().start
    kept = timedelta(days=project.effective_retention_days + 7)
    assert abs(start - (datetime.now(UTC) - kept)) < timedelta(minutes=5)


def test_another_projects_job_is_not_cancelled(reader: Client, project: Project) -> None:
    other = Project.objects.create(
        id=project.pk + 2**31, organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )
    now = timezone.now()
    job = Reapplication.objects.create(project=other, revision=1, start=now, end=now, cursor=now)
    assert post(reader, project, "cancel", job.pk).status_code == 404
    rule = rulesets.add_rule(other, None, Rule("acme.session", "session_id"))
    assert post(reader, project, "remove", rule["id"]).status_code == 404
    assert post(reader, project, "switch", rule["id"]).status_code == 404
    assert rule["id"] not in page(reader, project)


def test_a_viewer_sees_rules_and_no_buttons(signed_in: Signed, project: Project) -> None:
    rulesets.add_rule(project, None, Rule("acme.session", "session_id"))
    shown = page(signed_in(Membership.Role.VIEWER), project)
    assert "acme.session" in shown
    assert "Switch off" not in shown
    assert "Re-apply rules" not in shown


def test_a_span_shows_what_filled_each_field_and_marks_what_nobody_maps(reader: Client, project: Project) -> None:
    rule = rulesets.add_rule(project, None, Rule("acme.session", "session_id"))
    row = stored_call(
        project, attributes={"acme.session": "s-17", "user.id": "jane", "acme.odd": HOSTILE}, session_id="s-17",
        mapping_revision=1,
    )  # fmt: skip
    shown = reader.get(reverse("trace-span", args=[project.slug, row["trace_id"], row["span_id"]])).content.decode()
    assert "Attributes (3, 1 that nobody maps)" in shown
    assert f"#rule-{rule['id']}" in shown
    assert "nobody maps it" in shown
    assert "?source=acme.odd#rule-form" in shown
    assert "<script>alert" not in shown
    assert "in force is" not in shown
    rulesets.add_rule(project, None, Rule("acme.odd", "tags"))
    shown = reader.get(reverse("trace-span", args=[project.slug, row["trace_id"], row["span_id"]])).content.decode()
    assert "Filled by revision 1 of this project" in shown
