"""The outbox of events: one transaction with its cause, bounded."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.events import outbox
from heliograph.events.models import Event
from heliograph.events.outbox import EventTooLargeError, UnknownKindError, record


class UndoneError(Exception):
    """Ends a transaction."""


def test_an_event_is_kept_with_its_cause_or_not_at_all(project: Project) -> None:
    def fail_after_recording() -> None:
        with transaction.atomic():
            record(project, "gate.failed", {"gate": 7})
            raise UndoneError

    with pytest.raises(UndoneError):
        fail_after_recording()
    assert not Event.objects.exists()
    record(project, "gate.failed", {"gate": 7, "cost": Decimal("0.10")})
    event = Event.objects.get()
    assert (event.project, event.kind, event.body, event.taken_at) == (
        project,
        "gate.failed",
        {"gate": 7, "cost": "0.10"},
        None,
    )


def test_what_nobody_could_ask_for_or_read_is_refused(project: Project) -> None:
    with pytest.raises(UnknownKindError, match=r"drift\.found"):
        record(project, "gate.fialed", {})
    with pytest.raises(EventTooLargeError, match="send ids"):
        record(project, "gate.failed", {"text": "x" * outbox.MAX_BODY_BYTES})
    with pytest.raises(ValueError, match="not JSON compliant"):
        record(project, "gate.failed", {"p": float("nan")})
    assert not Event.objects.exists()


def test_the_outbox_is_bounded_by_age_and_by_number(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_OF_A_PROJECT", 3)
    for number in range(6):
        record(project, "export.ready", {"number": number})
        age = timedelta(days=31) if number == 0 else timedelta(minutes=10 - number)
        Event.objects.filter(body__number=number).update(created_at=timezone.now() - age)
    assert outbox.remove_expired() == 3
    assert [event.body["number"] for event in Event.objects.all()] == [5, 4, 3]
