"""What is told: one payload for every kind of channel, as Standard Webhooks has it (type, timestamp, data)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.alerts.conditions import as_json
from heliograph.alerts.models import Alert, Rule
from heliograph.events.models import Event
from heliograph.query.measures import measure_of

FIRING, RESOLVED, TEST = "alert.firing", "alert.resolved", "test"
# A message is read on a phone; `total` says how many there are.
MAX_LISTED = 20


def of_alerts(
    kind: str, rule: Rule, alerts: Sequence[Alert], now: datetime, *, is_repeat: bool = False
) -> dict[str, Any]:
    """Return the message that alerts of one rule fire, or ended."""
    measure = measure_of(rule.measure)
    return _payload(
        kind,
        now,
        rule.project,
        rule={
            "id": rule.pk,
            "name": rule.name,
            "description": rule.description,
            "severity": rule.severity,
            "measure": rule.measure,
            "title": measure.title,
            "unit": measure.unit,
            "window_minutes": rule.window,
            "kind": rule.kind,
            "condition": as_json(rule.terms),
            "url": link("alerts-rule", rule.project.slug, rule.pk),
        },
        alerts=[_alert(rule, alert) for alert in alerts[:MAX_LISTED]],
        total=len(alerts),
        is_repeat=is_repeat,
    )


def of_event(event: Event) -> dict[str, Any]:
    """Return the message that something happened."""
    return _payload(event.kind, event.created_at, event.project, event=event.body)


def of_test(project: Project, now: datetime) -> dict[str, Any]:
    """Return a message that tells of nothing."""
    return _payload(TEST, now, project, message="This is a test: the channel works.")


def link(name: str, *arguments: object) -> str:
    """Return the whole address of a page."""
    return str(settings.BASE_URL + reverse(name, args=arguments))


def _payload(kind: str, at: datetime, project: Project, **data: Any) -> dict[str, Any]:
    named = {"slug": project.slug, "name": project.name}
    return {"type": kind, "timestamp": at.astimezone(UTC).isoformat(), "data": {"project": named, **data}}


def _alert(rule: Rule, alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.pk,
        "key": f"{rule.pk}-{alert.key[:32]}",
        "labels": alert.labels,
        "state": alert.state,
        "value": alert.value,
        "against": alert.against,
        "reason": alert.reason,
        "started_at": alert.opened_at.isoformat() if alert.opened_at else None,
        "url": link("alerts-one", rule.project.slug, alert.pk),
    }
