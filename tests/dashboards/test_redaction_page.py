"""The redaction page: rules in their order, and a trial on a text or a stored span."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Membership, Project
from heliograph.rules.models import RedactionRule
from tests.dashboards.conftest import IN_HOUR, Signed
from tests.query.rows import llm, new_trace_id, store_spans

pytestmark = pytest.mark.usefixtures("store")
MAILS = {"name": "mails", "kind": "built_in", "kinds": ["email"], "action": "mask", "pattern": ""}
TICKETS = {"name": "tickets", "kind": "regex", "pattern": "ACME-[0-9]{6}", "action": "mask"}
TEXT = "<b>jane@example.org</b> has ACME-123456"


def page(reader: Client, project: Project, query: str = "") -> str:
    answer = reader.get(f"{reverse('settings-redaction', args=[project.slug])}?{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def post(reader: Client, project: Project, name: str, /, *ids: Any, **form: Any) -> Any:
    return reader.post(reverse(f"settings-redaction-{name}", args=[project.slug, *ids]), form)


def test_rules_are_added_changed_moved_switched_and_removed(reader: Client, project: Project) -> None:
    for rule in (MAILS, TICKETS):
        assert post(reader, project, "save", **rule).status_code == 302
    tickets = RedactionRule.objects.get(name="tickets")
    assert "ACME-[0-9]{6}" in page(reader, project, f"rule={tickets.pk}")
    post(reader, project, "save", **TICKETS | {"rule": tickets.pk, "action": "hash", "kinds": ["phone"]})
    post(reader, project, "move", tickets.pk, step="up")
    post(reader, project, "switch", tickets.pk)
    rules = [(rule.name, rule.action, rule.kinds, rule.enabled) for rule in RedactionRule.objects.all()]
    assert rules == [("tickets", "hash", [], False), ("mails", "mask", ["email"], True)]
    post(reader, project, "remove", tickets.pk)
    assert [rule.name for rule in RedactionRule.objects.all()] == ["mails"]


def test_a_rule_that_cannot_be_says_why_at_its_field_and_keeps_what_was_typed(reader: Client, project: Project) -> None:
    answer = post(reader, project, "save", **TICKETS | {"pattern": "(unclosed"})
    assert answer.status_code == 422
    shown = answer.content.decode()
    assert 'value="(unclosed"' in shown
    assert "RE2 cannot use this pattern" in shown
    assert not RedactionRule.objects.exists()


def test_a_trial_shows_the_text_as_it_would_be_stored(reader: Client, project: Project) -> None:
    post(reader, project, "save", **MAILS)
    shown = post(reader, project, "trial", text=TEXT).content.decode()
    assert "&lt;b&gt;[redacted:email]&lt;/b&gt; has ACME-123456" in shown
    assert "<b>jane" not in shown
    draft = post(reader, project, "trial", text=TEXT, with_draft="1", **TICKETS).content.decode()
    assert "[redacted:email]&lt;/b&gt; has [redacted:tickets]" in draft
    assert "Blanked by mails, tickets." in draft
    broken = post(reader, project, "trial", text=TEXT, with_draft="1", **TICKETS | {"pattern": "("}).content.decode()
    assert "The rule in the form cannot be used." in broken
    assert "Paste a text, or pick a span." in post(reader, project, "trial").content.decode()
    assert RedactionRule.objects.count() == 1


def test_a_rule_that_is_changed_is_tried_in_its_own_place(reader: Client, project: Project) -> None:
    post(reader, project, "save", **MAILS)
    rule = RedactionRule.objects.get()
    changed = MAILS | {"rule": rule.pk, "action": "drop"}
    shown = post(reader, project, "trial", text="a jane@example.org b", with_draft="1", **changed).content.decode()
    assert '<pre class="tried">a  b</pre>' in shown


def test_a_stored_span_can_be_picked_and_is_left_as_it_is(reader: Client, project: Project) -> None:
    row = llm(new_trace_id(), 1, attributes={"note": "to jane@example.org"}, name="pick me")
    store_spans(project.pk, row)
    post(reader, project, "save", **MAILS)
    assert "pick me" in page(reader, project, IN_HOUR)
    shown = post(reader, project, "trial", span=f"{row['trace_id']}:{row['span_id']}").content.decode()
    assert "attributes: note" in shown
    assert "to [redacted:email]" in shown
    gone = post(reader, project, "trial", span=f"{'a' * 32}:{'b' * 16}").content.decode()
    assert "no longer stored" in gone


def test_another_projects_rules_are_neither_shown_nor_changed(reader: Client, project: Project) -> None:
    other = Project.objects.create(
        id=project.pk + 2**31, organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )
    rule = RedactionRule.objects.create(project=other, **MAILS)
    row = llm(new_trace_id(), 1, attributes={"note": "to jane@example.org"})
    store_spans(other.pk, row)
    for name in ("switch", "move", "remove"):
        assert post(reader, project, name, rule.pk).status_code == 404
    assert post(reader, project, "save", **MAILS | {"rule": rule.pk}).status_code == 404
    tried = post(reader, project, "trial", span=f"{row['trace_id']}:{row['span_id']}").content.decode()
    assert "no longer stored" in tried
    assert "mails" not in page(reader, project)
    assert RedactionRule.objects.get().enabled


def test_a_viewer_sees_the_rules_and_cannot_change_them(signed_in: Signed, project: Project) -> None:
    RedactionRule.objects.create(project=project, **MAILS)
    shown = page(signed_in(Membership.Role.VIEWER), project)
    assert "mails" in shown
    assert "Switch off" not in shown
