"""Rules narrowed by the filter language: bounded, refused where they cannot be read, and no burden to the others."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from heliograph.accounts.models import Project
from heliograph.alerts import editing
from heliograph.alerts.editing import save_rule
from heliograph.alerts.evaluate import evaluate
from heliograph.alerts.models import Alert, Rule
from heliograph.clickhouse.errors import CapacityError
from heliograph.query.windows import raw_spans
from tests.query.rows import START, new_trace_id, span, store_spans

pytestmark = pytest.mark.usefixtures("store")


def saved(project: Project, name: str, text: str = "", **fields: Any) -> Rule:
    usual = {"measure": "errors", "window": 1, "hold": 0, "kind": "threshold"}
    made = Rule(project=project, name=name, filter=text, condition={"side": "above", "bound": 1}, **(usual | fields))
    save_rule(made)
    return made


def test_a_filter_that_reads_too_much_fails_its_rule_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    store_spans(project.pk, *(span(new_trace_id(), 1, status="error", user_id="alice") for _ in range(3)))
    plain = [saved(project, f"plain {number}") for number in range(4)]
    of_alice, of_bob = saved(project, "alice", "user:alice"), saved(project, "bob", "user:bob")
    now = START + timedelta(minutes=2)
    assert evaluate(project, now) == 6
    assert {alert.rule_id for alert in Alert.objects.filter(is_open=True)} == {
        *(rule.pk for rule in plain),
        of_alice.pk,
    }

    def refuse(*_: Any, **__: Any) -> None:
        raise CapacityError("memory limit")

    monkeypatch.setattr(raw_spans, "client", SimpleNamespace(query=refuse))
    assert evaluate(project, now + timedelta(minutes=1)) == 4
    for rule in (of_alice, of_bob):
        rule.refresh_from_db()
        assert "narrow it" in rule.last_error
    monkeypatch.undo()
    # What was missed meanwhile is judged afterwards, and the fault is forgotten.
    assert evaluate(project, now + timedelta(minutes=2)) == 6
    assert not Rule.objects.exclude(last_error="").exists()


def test_filters_that_are_wrong_or_too_many_are_refused_by_name(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "MAX_FILTERS", 1)
    saved(project, "first", "user:alice")
    saved(project, "same words, another number", "user:alice", measure="latency_p95")
    for text, measure in (("user:bob", "errors"), ("latency>>2s", "errors"), ("user:alice", "gpu_xid")):
        with pytest.raises(ValidationError) as refused:
            saved(project, "refused", text, measure=measure)
        assert list(refused.value.message_dict) == ["filter"]
