"""Two at once who want the same name: whoever comes second is told so at the field, as if a moment later."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import IntegrityError, models
from django.db.models.signals import pre_save
from django.test import Client
from django.urls import reverse

from heliograph.accounts import people
from heliograph.accounts.models import ApiKey, Invitation, Membership, Organization, Project, User
from heliograph.accounts.roles import Role, Scope
from heliograph.annotation.models.queues import Queue
from heliograph.audit.models import Entry
from heliograph.dashboards import datasets
from heliograph.datasets.models.rows import Dataset
from heliograph.rules.models import RetentionRule

# A refused row spoils a test's own transaction.
pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "a long password 1"


@contextmanager
def looked_before(model: type[models.Model]) -> Iterator[None]:
    """Have the first look for a row of the model answered as of a moment before it came."""
    looked: list[bool] = []
    asked = models.QuerySet.exists

    def exists(rows: Any) -> bool:
        if rows.model is model and not looked:
            looked.append(asked(rows))
            return False
        return asked(rows)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(models.QuerySet, "exists", exists)
        yield
    assert looked == [True]  # the row was there, and the view did not see it


@contextmanager
def rival(model: type[models.Model], times: int = 1) -> Iterator[list[models.Model]]:
    """Have somebody else's row of the same values stored right before a row is, after every check that a view makes."""
    came: list[models.Model] = []

    def come(instance: Any, **_: Any) -> None:
        if len(came) < times and instance._state.adding:
            values = {each.attname: getattr(instance, each.attname) for each in instance._meta.concrete_fields}
            other = model(**values | {"pk": None})
            came.append(other)
            model._default_manager.bulk_create([other])  # sends no signal

    pre_save.connect(come, sender=model)
    try:
        yield came
    finally:
        pre_save.disconnect(come, sender=model)


def test_who_comes_second_gets_the_form_back_with_what_is_wrong() -> None:
    organization = Organization.objects.create(name="Acme")
    acme = Project.create(organization, "Chat bot")
    owner = User.objects.create(username="olive")
    Membership.objects.create(organization=organization, user=owner, role=Role.OWNER)
    browser = Client()
    browser.force_login(owner)
    key = ApiKey.issue(acme, "admin", scopes=[Scope.ADMIN])[1]
    for name, model, form, told in (
        (
            "annotation-create",
            Queue,
            {"name": "q", "rubric": "good: yes|no", "annotators_per_item": 1, "lease_minutes": 15},
            "",
        ),
        ("datasets-create", Dataset, {"name": "prompts"}, "Another data set has this name."),
        ("settings-retention", RetentionRule, {"signal": "traces", "environment": "", "days": 7}, "change that one"),
    ):
        with rival(model) as came:
            answer = browser.post(reverse(name, args=[acme.slug]), form)
        assert len(came) == 1, (name, answer.content.decode())
        assert (answer.status_code, told in answer.content.decode()) == (422, True), name
    # What was undone is in nobody's log: only rows that are there.
    assert not Entry.objects.filter(action__in=["annotation-create", "settings-retention"], status=302).exists()

    invitation: Invitation = people.invite(organization, Role.VIEWER, owner)
    link = people.link_of(invitation).removeprefix("http://localhost:8000")
    # These look and save within one transaction, so the other's row is there from before.
    User.objects.create(username="dana")
    User.objects.create(username="robot")
    robot = {"name": "robot", "role": "viewer", "where": "organization"}
    with looked_before(User):
        answer = browser.post(reverse("settings-people-service", args=[acme.slug]), robot)
    assert (answer.status_code, "That name is taken" in answer.content.decode()) == (422, True)
    with looked_before(User):
        answer = Client().post(link, {"username": "dana", "password": PASSWORD})
    assert (answer.status_code, "That name is taken" in answer.content.decode()) == (422, True)
    invitation.refresh_from_db()
    assert invitation.is_open
    # A project finds another address for itself.
    with rival(Project):
        answer = browser.post(reverse("settings-people-project", args=[acme.slug]), {"name": "Search"})
    assert answer.status_code == 302
    assert Project.objects.filter(name="Search").count() == 2

    with rival(Dataset):
        answer = Client(headers={"x-api-key": key}).post(
            reverse("api-datasets"), {"name": "answers"}, content_type="application/json"
        )
    assert (answer.status_code, "ask again" in answer.json()["detail"]) == (409, True)


def test_what_the_database_refuses_again_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    organization = Organization.objects.create(name="Acme")
    acme = Project.create(organization, "Chat bot")
    owner = User.objects.create(username="olive")
    Membership.objects.create(organization=organization, user=owner, role=Role.OWNER)
    browser = Client(raise_request_exception=False)
    browser.force_login(owner)
    asked: list[str] = []

    def refuse(*_: Any) -> bool:
        asked.append("once more")
        raise IntegrityError

    monkeypatch.setattr(datasets, "_is_full", refuse)
    assert browser.post(reverse("datasets-create", args=[acme.slug]), {"name": "prompts"}).status_code == 500
    assert len(asked) == 2
